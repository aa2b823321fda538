/** One request's way: projection, gate, dispatch, exchange, combine. */
@NullMarked
package dev.guildhall.router.forward;

import org.jspecify.annotations.NullMarked;
