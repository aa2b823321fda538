/** Element types, shapes and conversions of tensors in memory. */
@NullMarked
package dev.guildhall.tensor;

import org.jspecify.annotations.NullMarked;
