/** From what models are published as to layers of a model repository. */
@NullMarked
package dev.guildhall.checkpoint;

import org.jspecify.annotations.NullMarked;
