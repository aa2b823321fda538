/** Streams of batches to replicas and back. */
@NullMarked
package dev.guildhall.router.exchange;

import org.jspecify.annotations.NullMarked;
