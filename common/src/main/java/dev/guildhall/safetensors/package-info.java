/** Reading and writing .safetensors files. */
@NullMarked
package dev.guildhall.safetensors;

import org.jspecify.annotations.NullMarked;
