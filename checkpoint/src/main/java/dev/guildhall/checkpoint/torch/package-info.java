/** Reading PyTorch's .pt files. */
@NullMarked
package dev.guildhall.checkpoint.torch;

import org.jspecify.annotations.NullMarked;
