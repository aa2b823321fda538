package dev.guildhall.metrics;

import dev.guildhall.tracing.TraceSpan;
import io.prometheus.metrics.tracer.common.SpanContext;

/**
 * Tells the histograms of which request a figure is, so that a bucket names a trace that fell into
 * it. Only of sampled ones: the others cannot be looked up.
 */
public final class Exemplars {
  private final ThreadLocal<TraceSpan> current = ThreadLocal.withInitial(() -> TraceSpan.NONE);

  /** Runs what records a request's figures, on this thread. */
  public void of(TraceSpan span, Runnable recording) {
    if (!span.isRecording()) {
      recording.run();
      return;
    }
    current.set(span);
    try {
      recording.run();
    } finally {
      current.remove();
    }
  }

  /** What Prometheus' client asks. */
  SpanContext context() {
    return new SpanContext() {
      @Override
      public String getCurrentTraceId() {
        return current.get().traceId();
      }

      @Override
      public String getCurrentSpanId() {
        return current.get().spanId();
      }

      @Override
      public boolean isCurrentSpanSampled() {
        return current.get().isRecording();
      }

      @Override
      public void markCurrentSpanAsExemplar() {
        current.get().tag("exemplar", true);
      }
    };
  }
}
