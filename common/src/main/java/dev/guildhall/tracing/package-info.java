/**
 * Spans of requests and batches, and their way to a collector; the only room that knows
 * OpenTelemetry.
 */
@NullMarked
package dev.guildhall.tracing;

import org.jspecify.annotations.NullMarked;
