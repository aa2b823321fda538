/**
 * JMH benchmarks of single rooms; the load drivers of a whole system are {@code guildhall bench}.
 */
@NullMarked
package dev.guildhall.benchmarks;

import org.jspecify.annotations.NullMarked;
