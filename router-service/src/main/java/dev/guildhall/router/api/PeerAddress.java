package dev.guildhall.router.api;

import io.grpc.Context;
import io.grpc.Contexts;
import io.grpc.Grpc;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;
import io.grpc.ServerInterceptor;
import java.net.SocketAddress;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Collectors;

/** Tells the methods that need to know it from which address they are called. */
public final class PeerAddress implements ServerInterceptor {
  private static final Context.Key<SocketAddress> ADDRESS = Context.key("peer address");

  private final Set<String> methods;

  public PeerAddress(MethodDescriptor<?, ?>... methods) {
    this.methods =
        Set.of(methods).stream()
            .map(MethodDescriptor::getFullMethodName)
            .collect(Collectors.toUnmodifiableSet());
  }

  /** Where the call that is being served comes from. */
  public static Optional<SocketAddress> current() {
    return Optional.ofNullable(ADDRESS.get());
  }

  @Override
  public <Q, A> ServerCall.Listener<Q> interceptCall(
      ServerCall<Q, A> call, Metadata headers, ServerCallHandler<Q, A> next) {
    SocketAddress address = call.getAttributes().get(Grpc.TRANSPORT_ATTR_REMOTE_ADDR);
    if (address == null || !methods.contains(call.getMethodDescriptor().getFullMethodName())) {
      return next.startCall(call, headers);
    }
    return Contexts.interceptCall(
        Context.current().withValue(ADDRESS, address), call, headers, next);
  }
}
