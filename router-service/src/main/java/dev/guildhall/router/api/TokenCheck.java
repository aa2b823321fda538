package dev.guildhall.router.api;

import dev.guildhall.router.admission.Caller;
import io.grpc.Context;
import io.grpc.Contexts;
import io.grpc.Metadata;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;
import io.grpc.ServerInterceptor;
import io.grpc.Status;
import io.grpc.health.v1.HealthGrpc;
import java.util.Optional;
import java.util.function.Function;

/**
 * Lets calls in that bring a known caller's token, and tells the endpoint whose it was. Health
 * checks need none. A stream is checked when it opens and not again.
 */
public final class TokenCheck implements ServerInterceptor {
  /** Who a call is for. */
  static final Context.Key<Caller> CALLER = Context.keyWithDefault("caller", Caller.ANYONE);

  private static final Metadata.Key<String> AUTHORIZATION =
      Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);
  private static final String SCHEME = "Bearer ";

  /** The same whatever is wrong: a guess must not tell what it missed. */
  private static final Status REFUSAL =
      Status.UNAUTHENTICATED.withDescription(
          "the call has no right token; allowed is the header \"authorization: Bearer TOKEN\" with"
              + " a token of this router");

  private final Function<String, Optional<Caller>> callers;

  /**
   * @param callers by token
   */
  public TokenCheck(Function<String, Optional<Caller>> callers) {
    this.callers = callers;
  }

  @Override
  public <Q, A> ServerCall.Listener<Q> interceptCall(
      ServerCall<Q, A> call, Metadata headers, ServerCallHandler<Q, A> next) {
    if (HealthGrpc.SERVICE_NAME.equals(call.getMethodDescriptor().getServiceName())) {
      return next.startCall(call, headers);
    }
    Optional<Caller> caller = token(headers).flatMap(callers);
    if (caller.isEmpty()) {
      call.close(REFUSAL, new Metadata());
      return new ServerCall.Listener<>() {};
    }
    return Contexts.interceptCall(
        Context.current().withValue(CALLER, caller.get()), call, headers, next);
  }

  private static Optional<String> token(Metadata headers) {
    return Optional.ofNullable(headers.get(AUTHORIZATION))
        // The scheme's name counts in any case, as in HTTP.
        .filter(value -> value.regionMatches(true, 0, SCHEME, 0, SCHEME.length()))
        .map(value -> value.substring(SCHEME.length()));
  }
}
