/** Fuzzing: what all fuzz targets share, and the test that runs them. */
@NullMarked
package dev.guildhall.fuzz;

import org.jspecify.annotations.NullMarked;
