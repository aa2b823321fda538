/** The metrics registry, the names in it, and the port that shows it to Prometheus. */
@NullMarked
package dev.guildhall.metrics;

import org.jspecify.annotations.NullMarked;
