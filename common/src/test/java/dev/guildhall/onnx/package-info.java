@NullMarked
package dev.guildhall.onnx;

import org.jspecify.annotations.NullMarked;
