package dev.guildhall.tracing;

import static java.util.Objects.requireNonNull;

import dev.guildhall.error.ErrorCode;
import io.opentelemetry.api.trace.Span;
import io.opentelemetry.api.trace.SpanBuilder;
import io.opentelemetry.api.trace.SpanContext;
import io.opentelemetry.api.trace.SpanKind;
import io.opentelemetry.api.trace.StatusCode;
import io.opentelemetry.api.trace.Tracer;
import io.opentelemetry.api.trace.TracerProvider;
import io.opentelemetry.api.trace.propagation.W3CTraceContextPropagator;
import io.opentelemetry.context.Context;
import io.opentelemetry.context.propagation.TextMapSetter;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.TimeUnit;

/**
 * One piece of a request's way, or {@link #NONE}. Without tracing, and for requests that are not
 * sampled, its methods do nothing and allocate nothing. Thread-safe; what comes after the end is
 * ignored.
 */
public final class TraceSpan {
  /** Of what is not traced. */
  public static final TraceSpan NONE =
      new TraceSpan(TracerProvider.noop().get(""), Span.getInvalid(), false, 0);

  private static final String SYSTEM = "rpc.system.name";

  private static final TextMapSetter<Map<String, String>> FIELDS =
      (fields, name, value) -> requireNonNull(fields).put(name, value);

  private final Tracer tracer;
  private final Span span;
  private final boolean recording;

  /** Of what another process asked for. */
  private final boolean served;

  /** From {@link System#nanoTime} to nanoseconds since 1970, the same within a trace. */
  private final long epochOffset;

  TraceSpan(Tracer tracer, Span span, boolean served, long epochOffset) {
    this.tracer = tracer;
    this.span = span;
    this.recording = span.isRecording();
    this.served = served;
    this.epochOffset = epochOffset;
  }

  /** Whether anything is kept of it: what is dear to find out need not be told to others. */
  public boolean isRecording() {
    return recording;
  }

  /** Begins a part of this. */
  public TraceSpan child(String name) {
    return recording ? begin(builder(name, SpanKind.INTERNAL), System.nanoTime()) : NONE;
  }

  /**
   * A part of this that began a while ago.
   *
   * @param nanoTime when, as {@link System#nanoTime} has it
   */
  public TraceSpan childFrom(String name, long nanoTime) {
    return recording ? begin(builder(name, SpanKind.INTERNAL), nanoTime) : NONE;
  }

  /**
   * Begins a part of this that another process does.
   *
   * @param method of its gRPC service
   * @param earlier what this repeats; {@link #NONE} if nothing
   */
  public TraceSpan call(String name, String method, TraceSpan earlier) {
    if (!recording) {
      return NONE;
    }
    SpanBuilder builder =
        builder(name, SpanKind.CLIENT)
            .setAttribute(SYSTEM, "grpc")
            .setAttribute("rpc.method", method);
    if (earlier.recording) {
      builder.addLink(earlier.span.getSpanContext());
    }
    return begin(builder, System.nanoTime());
  }

  private SpanBuilder builder(String name, SpanKind kind) {
    return tracer.spanBuilder(name).setSpanKind(kind).setParent(Context.root().with(span));
  }

  private TraceSpan begin(SpanBuilder builder, long nanoTime) {
    builder.setStartTimestamp(nanoTime + epochOffset, TimeUnit.NANOSECONDS);
    return new TraceSpan(tracer, builder.startSpan(), false, epochOffset);
  }

  public TraceSpan tag(String name, String value) {
    if (recording) {
      span.setAttribute(name, value);
    }
    return this;
  }

  public TraceSpan tag(String name, long value) {
    if (recording) {
      span.setAttribute(name, value);
    }
    return this;
  }

  public TraceSpan tag(String name, boolean value) {
    if (recording) {
      span.setAttribute(name, value);
    }
    return this;
  }

  /** Says which method of a gRPC service it is. */
  public TraceSpan grpc(String method) {
    return tag(SYSTEM, "grpc").tag("rpc.method", method);
  }

  /** Ends it. */
  public void end() {
    endAt(recording ? System.nanoTime() : 0);
  }

  /**
   * Says that it ended a while ago.
   *
   * @param nanoTime when, as {@link System#nanoTime} has it
   */
  public void endAt(long nanoTime) {
    if (recording) {
      span.end(nanoTime + epochOffset, TimeUnit.NANOSECONDS);
    }
  }

  /**
   * Ends it with what went wrong. What a caller did wrong is no error of the span that serves it,
   * as OpenTelemetry's conventions say, and neither is that nobody wants the answer any more.
   */
  public void fail(Throwable failure) {
    if (!recording) {
      return;
    }
    ErrorCode code = ErrorCode.of(failure);
    if (code == ErrorCode.CANCELLED) {
      giveUp();
    } else {
      span.setAttribute("error.type", code.name());
      if (!served || code.isServersFault()) {
        span.setStatus(StatusCode.ERROR, String.valueOf(failure.getMessage()));
      }
      end();
    }
  }

  /** Ends it: nobody wants the answer any more. */
  public void giveUp() {
    tag("guildhall.given_up", true).end();
  }

  /** What tells another process of it; {@link TraceContext#NONE} if it is not recorded. */
  public TraceContext context() {
    if (!recording) {
      return TraceContext.NONE;
    }
    Map<String, String> fields = new HashMap<>();
    W3CTraceContextPropagator.getInstance().inject(Context.root().with(span), fields, FIELDS);
    return new TraceContext(
        fields.getOrDefault(TraceContext.TRACEPARENT, ""),
        fields.getOrDefault(TraceContext.TRACESTATE, ""));
  }

  /** 32 hexadecimal digits, whether it is sampled or not; empty without tracing. */
  public String traceId() {
    SpanContext context = span.getSpanContext();
    return context.isValid() ? context.getTraceId() : "";
  }

  /** 16 hexadecimal digits; empty without tracing. */
  public String spanId() {
    SpanContext context = span.getSpanContext();
    return context.isValid() ? context.getSpanId() : "";
  }
}
