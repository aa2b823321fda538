package dev.guildhall.router.api;

import io.grpc.Context;
import io.grpc.Contexts;
import io.grpc.Metadata;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;
import io.grpc.ServerInterceptor;

/** Tells the endpoint which span of its caller a call belongs to. */
public final class TraceHeader implements ServerInterceptor {
  /** As W3C names it, in metadata and in HTTP. */
  public static final String NAME = "traceparent";

  private static final Context.Key<String> TRACEPARENT = Context.keyWithDefault(NAME, "");

  private static final Metadata.Key<String> HEADER =
      Metadata.Key.of(NAME, Metadata.ASCII_STRING_MARSHALLER);

  /** That of the call that is being served; empty if it has none. */
  public static String current() {
    return TRACEPARENT.get();
  }

  @Override
  public <Q, A> ServerCall.Listener<Q> interceptCall(
      ServerCall<Q, A> call, Metadata headers, ServerCallHandler<Q, A> next) {
    String traceparent = headers.get(HEADER);
    return traceparent == null
        ? next.startCall(call, headers)
        : Contexts.interceptCall(
            Context.current().withValue(TRACEPARENT, traceparent), call, headers, next);
  }
}
