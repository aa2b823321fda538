package dev.guildhall.tracing;

import org.slf4j.MDC;

/**
 * What a request is known by, in spans and in the log.
 *
 * @param requestId as its caller chose it; empty: it did not
 * @param span of the whole request
 */
public record RequestTrace(String requestId, TraceSpan span) {
  /** Of a request that nobody asks about. */
  public static final RequestTrace NONE = new RequestTrace("", TraceSpan.NONE);

  private static final String REQUEST_ID = "request_id";
  private static final String TRACE_ID = "trace_id";

  /**
   * Ends the span of a request that has failed.
   *
   * @param telling the caller; what that logs has the request's ids
   */
  public void fail(Throwable failure, Runnable telling) {
    try {
      logging(telling);
    } finally {
      span.fail(failure);
    }
  }

  /** Runs what may log: its lines have the request's ids. To be used where a line is likely. */
  public void logging(Runnable action) {
    put(REQUEST_ID, requestId);
    put(TRACE_ID, span.traceId());
    try {
      action.run();
    } finally {
      MDC.remove(REQUEST_ID);
      MDC.remove(TRACE_ID);
    }
  }

  private static void put(String key, String value) {
    if (!value.isEmpty()) {
      MDC.put(key, value);
    }
  }
}
