/** Writing ONNX graphs for the known architectures, and running them over mapped weights. */
@NullMarked
package dev.guildhall.onnx;

import org.jspecify.annotations.NullMarked;
