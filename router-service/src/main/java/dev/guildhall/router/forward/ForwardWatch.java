package dev.guildhall.router.forward;

import dev.guildhall.tracing.Tracing;

/** What looks at requests on their way. */
public record ForwardWatch(ForwardMetrics metrics, Tracing tracing, SlowRequests slow) {

  /** Figures alone. */
  public static ForwardWatch of(ForwardMetrics metrics) {
    return new ForwardWatch(metrics, Tracing.off(), SlowRequests.NONE);
  }
}
