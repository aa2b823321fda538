/** From computed rows to the layer's output. Pure. */
@NullMarked
package dev.guildhall.router.combine;

import org.jspecify.annotations.NullMarked;
