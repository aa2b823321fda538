package dev.guildhall.router.api;

import com.google.protobuf.MessageLite;
import dev.guildhall.rpc.TensorMessage;
import io.grpc.ForwardingServerCallListener.SimpleForwardingServerCallListener;
import io.grpc.Metadata;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;
import org.jspecify.annotations.Nullable;

/**
 * A unary method whose request has an owner at every moment. gRPC's own handler keeps the message
 * from its arrival to the end of the caller's half, and forgets it if the caller gives up between.
 *
 * <p>From the end of the caller's half on the message is the method's.
 */
final class UnaryTensorCall<Q extends MessageLite, R extends MessageLite>
    implements ServerCallHandler<TensorMessage<Q>, TensorMessage<R>> {
  private final ServerCallHandler<TensorMessage<Q>, TensorMessage<R>> method;

  UnaryTensorCall(ServerCallHandler<TensorMessage<Q>, TensorMessage<R>> method) {
    this.method = method;
  }

  @Override
  public ServerCall.Listener<TensorMessage<Q>> startCall(
      ServerCall<TensorMessage<Q>, TensorMessage<R>> call, Metadata headers) {
    return new Owner<>(method.startCall(call, headers));
  }

  /** Used by one thread at a time, as gRPC promises of listeners. */
  private static final class Owner<Q extends MessageLite>
      extends SimpleForwardingServerCallListener<TensorMessage<Q>> {
    private @Nullable TensorMessage<Q> request;

    Owner(ServerCall.Listener<TensorMessage<Q>> method) {
      super(method);
    }

    @Override
    public void onMessage(TensorMessage<Q> message) {
      boolean second = request != null;
      if (!second) {
        request = message;
      }
      super.onMessage(message);
      if (second) {
        message.close(); // The call has been refused for it.
        release();
      }
    }

    @Override
    public void onHalfClose() {
      request = null;
      super.onHalfClose();
    }

    @Override
    public void onCancel() {
      release();
      super.onCancel();
    }

    @Override
    public void onComplete() {
      release();
      super.onComplete();
    }

    private void release() {
      if (request != null) {
        request.close();
        request = null;
      }
    }
  }
}
