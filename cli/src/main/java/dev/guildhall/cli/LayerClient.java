package dev.guildhall.cli;

import dev.guildhall.proto.ForwardRequest;
import dev.guildhall.proto.ForwardResponse;
import dev.guildhall.rpc.Buffers;
import dev.guildhall.rpc.TensorMessage;
import dev.guildhall.rpc.TensorMethods;
import dev.guildhall.rpc.WireFloats;
import dev.guildhall.safetensors.StoredTensor;
import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.stub.ClientCalls;
import io.netty.buffer.ByteBuf;
import java.time.Duration;
import java.util.concurrent.TimeUnit;

/** A blocking client of a router. */
final class LayerClient {
  private final Channel channel;
  private final Duration timeout;

  LayerClient(Channel channel, Duration timeout) {
    this.channel = channel;
    this.timeout = timeout;
  }

  /**
   * Runs a layer.
   *
   * @param request everything but dtype, shape and hidden states
   * @param hiddenStates [..., H] in FP32, FP16 or BF16
   * @return to be closed by the caller
   */
  TensorMessage<ForwardResponse> forward(
      ForwardRequest.Builder request, StoredTensor hiddenStates) {
    ForwardRequest header =
        request
            .setDtype(WireFloats.proto(hiddenStates.dtype()))
            .addAllShape(hiddenStates.shape())
            .build();
    ByteBuf payload = Buffers.allocate(Math.toIntExact(hiddenStates.data().byteSize()));
    Buffers.segment(payload).copyFrom(hiddenStates.data());
    try (TensorMessage<ForwardRequest> message = new TensorMessage<>(header, payload)) {
      return ClientCalls.blockingUnaryCall(
          channel,
          TensorMethods.FORWARD,
          CallOptions.DEFAULT.withDeadlineAfter(timeout.toMillis(), TimeUnit.MILLISECONDS),
          message);
    }
  }
}
