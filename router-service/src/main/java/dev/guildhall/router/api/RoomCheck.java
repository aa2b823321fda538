package dev.guildhall.router.api;

import dev.guildhall.error.GuildhallException;
import dev.guildhall.router.forward.LayerForward;
import dev.guildhall.rpc.InferMethods;
import dev.guildhall.rpc.Statuses;
import dev.guildhall.rpc.TensorMethods;
import io.grpc.Metadata;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;
import io.grpc.ServerInterceptor;
import io.grpc.StatusRuntimeException;
import java.util.Set;

/**
 * Refuses unary requests that there is no room for before their message is read: under overload
 * most of the work would be reading what is then refused.
 */
public final class RoomCheck implements ServerInterceptor {
  private static final Set<String> METHODS =
      Set.of(
          TensorMethods.FORWARD.getFullMethodName(), InferMethods.MODEL_INFER.getFullMethodName());

  private final LayerForward forward;

  public RoomCheck(LayerForward forward) {
    this.forward = forward;
  }

  @Override
  public <Q, A> ServerCall.Listener<Q> interceptCall(
      ServerCall<Q, A> call, Metadata headers, ServerCallHandler<Q, A> next) {
    if (METHODS.contains(call.getMethodDescriptor().getFullMethodName())) {
      try {
        forward.checkRoom();
      } catch (GuildhallException e) {
        StatusRuntimeException failure = Statuses.toCallFailure(e);
        Metadata trailers = failure.getTrailers();
        call.close(failure.getStatus(), trailers == null ? new Metadata() : trailers);
        return new ServerCall.Listener<>() {};
      }
    }
    return next.startCall(call, headers);
  }
}
