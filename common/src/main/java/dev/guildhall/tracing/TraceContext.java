package dev.guildhall.tracing;

/**
 * What one process tells another of a span, as W3C's Trace Context writes it.
 *
 * @param traceparent empty, or not as it should be: there is no span
 * @param tracestate what the tracing systems on the way noted; passed on as it is
 */
public record TraceContext(String traceparent, String tracestate) {
  public static final String TRACEPARENT = "traceparent";
  public static final String TRACESTATE = "tracestate";

  /** Of what no span asks for. */
  public static final TraceContext NONE = new TraceContext("", "");

  /** What W3C asks to pass on at least. It goes with every batch, so it is also the most. */
  private static final int MAX_TRACESTATE = 512;

  public TraceContext {
    if (tracestate.length() > MAX_TRACESTATE) {
      tracestate = "";
    }
  }

  /** Whether there is a span, as far as can be seen without reading it. */
  public boolean isEmpty() {
    return traceparent.isEmpty();
  }
}
