/** Hidden states to gate and coefficient logits, a matrix product in ONNX Runtime. */
@NullMarked
package dev.guildhall.router.projection;

import org.jspecify.annotations.NullMarked;
