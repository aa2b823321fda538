/** Measuring what serving costs, beside what the same machine could do without it. */
@NullMarked
package dev.guildhall.cli.bench;

import org.jspecify.annotations.NullMarked;
