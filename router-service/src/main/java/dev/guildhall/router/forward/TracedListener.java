package dev.guildhall.router.forward;

import dev.guildhall.tracing.TraceSpan;

/** Ends a request's span once its answer is given. */
record TracedListener(TraceSpan span, ForwardListener listener) implements ForwardListener {

  /** The listener itself, if nothing is recorded. */
  static ForwardListener of(TraceSpan span, ForwardListener listener) {
    return span.isRecording() ? new TracedListener(span, listener) : listener;
  }

  @Override
  public void succeeded(ForwardResult result) {
    listener.succeeded(result);
    span.end();
  }

  @Override
  public void failed(Throwable failure) {
    listener.failed(failure);
    span.fail(failure);
  }
}
