package dev.guildhall.metrics;

import dev.guildhall.tracing.Tracing;
import io.micrometer.core.instrument.MeterRegistry;

/**
 * Where a service's figures and spans go.
 *
 * @param exemplars of the registry
 */
public record Telemetry(MeterRegistry registry, Exemplars exemplars, Tracing tracing) {

  /** Figures alone. */
  public static Telemetry of(MeterRegistry registry) {
    return new Telemetry(registry, new Exemplars(), Tracing.off());
  }
}
