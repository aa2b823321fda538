/** From routes to batches of rows: what goes to which host, in which order. Pure. */
@NullMarked
package dev.guildhall.router.dispatch;

import org.jspecify.annotations.NullMarked;
