package dev.guildhall.router.api;

import dev.guildhall.tracing.TraceContext;
import io.grpc.Context;
import io.grpc.Contexts;
import io.grpc.Metadata;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;
import io.grpc.ServerInterceptor;
import java.util.Optional;

/** Tells the endpoint which span of its caller a call belongs to. */
public final class TraceHeader implements ServerInterceptor {
  private static final Context.Key<TraceContext> CALLER =
      Context.keyWithDefault("guildhall-caller-span", TraceContext.NONE);

  private static final Metadata.Key<String> TRACEPARENT = key(TraceContext.TRACEPARENT);
  private static final Metadata.Key<String> TRACESTATE = key(TraceContext.TRACESTATE);

  private static Metadata.Key<String> key(String name) {
    return Metadata.Key.of(name, Metadata.ASCII_STRING_MARSHALLER);
  }

  /** That of the call that is being served. */
  public static TraceContext current() {
    return CALLER.get();
  }

  @Override
  public <Q, A> ServerCall.Listener<Q> interceptCall(
      ServerCall<Q, A> call, Metadata headers, ServerCallHandler<Q, A> next) {
    String traceparent = headers.get(TRACEPARENT);
    if (traceparent == null) {
      return next.startCall(call, headers);
    }
    String tracestate = Optional.ofNullable(headers.get(TRACESTATE)).orElse("");
    TraceContext caller = new TraceContext(traceparent, tracestate);
    return Contexts.interceptCall(Context.current().withValue(CALLER, caller), call, headers, next);
  }
}
