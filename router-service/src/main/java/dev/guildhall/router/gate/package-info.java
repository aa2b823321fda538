/** From logits to routes: who goes where, with what weight, and who is dropped. Pure. */
@NullMarked
package dev.guildhall.router.gate;

import org.jspecify.annotations.NullMarked;
