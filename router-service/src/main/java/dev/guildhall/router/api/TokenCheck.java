package dev.guildhall.router.api;

import dev.guildhall.proto.inference.GRPCInferenceServiceGrpc;
import dev.guildhall.router.admission.Caller;
import io.grpc.Context;
import io.grpc.Contexts;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;
import io.grpc.ServerInterceptor;
import io.grpc.Status;
import io.grpc.health.v1.HealthGrpc;
import java.util.Optional;
import java.util.Set;
import java.util.function.Function;

/**
 * Lets calls in that bring a known caller's token, and tells the endpoint whose it was. Health
 * checks need none. A stream is checked when it opens and not again.
 */
public final class TokenCheck implements ServerInterceptor {
  /** Who a call is for. */
  public static final Context.Key<Caller> CALLER = Context.keyWithDefault("caller", Caller.ANYONE);

  private static final Metadata.Key<String> AUTHORIZATION =
      Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);
  private static final String SCHEME = "Bearer ";

  /** The same whatever is wrong: a guess must not tell what it missed. */
  public static final String REFUSAL =
      "the call has no right token; allowed is the header \"authorization: Bearer TOKEN\" with a"
          + " token of this router";

  private static final Set<String> OPEN =
      Set.of(
          GRPCInferenceServiceGrpc.getServerLiveMethod().getFullMethodName(),
          GRPCInferenceServiceGrpc.getServerReadyMethod().getFullMethodName());

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
    if (isOpen(call.getMethodDescriptor())) {
      return next.startCall(call, headers);
    }
    Optional<Caller> caller =
        Optional.ofNullable(headers.get(AUTHORIZATION)).flatMap(TokenCheck::token).flatMap(callers);
    if (caller.isEmpty()) {
      call.close(Status.UNAUTHENTICATED.withDescription(REFUSAL), new Metadata());
      return new ServerCall.Listener<>() {};
    }
    return Contexts.interceptCall(
        Context.current().withValue(CALLER, caller.get()), call, headers, next);
  }

  private static boolean isOpen(MethodDescriptor<?, ?> method) {
    return HealthGrpc.SERVICE_NAME.equals(method.getServiceName())
        || OPEN.contains(method.getFullMethodName());
  }

  /** The token in the value of an {@code authorization} header. */
  public static Optional<String> token(String authorization) {
    // The scheme's name counts in any case, as in HTTP.
    return authorization.regionMatches(true, 0, SCHEME, 0, SCHEME.length())
        ? Optional.of(authorization.substring(SCHEME.length()))
        : Optional.empty();
  }
}
