package dev.guildhall.cli.bench;

import dev.guildhall.proto.ForwardRequest;
import dev.guildhall.proto.ForwardResponse;
import dev.guildhall.rpc.TensorMessage;
import dev.guildhall.rpc.TensorMethods;
import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.stub.ClientCalls;
import io.grpc.stub.StreamObserver;
import io.netty.buffer.ByteBuf;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.HdrHistogram.Histogram;

/**
 * The floor of any service over gRPC: unary calls that are answered with their own payload, one
 * after the other, each sent from the event loop that brought the last answer.
 */
final class RpcFloor implements StreamObserver<TensorMessage<ForwardResponse>> {
  private static final long GRACE_SECONDS = 30;

  private final Channel channel;
  private final ByteBuf payload;
  private final long startNanos = System.nanoTime();
  private final long endNanos;
  private final Histogram latency = Load.histogram();
  private final CompletableFuture<Load> done = new CompletableFuture<>();
  private long sentNanos;

  private RpcFloor(Channel channel, ByteBuf payload, long nanos) {
    this.channel = channel;
    this.payload = payload;
    this.endNanos = startNanos + nanos;
  }

  /**
   * Plays ping-pong for a while.
   *
   * @param payload of every call; lent
   */
  static Load run(Channel channel, ByteBuf payload, long nanos)
      throws InterruptedException, ExecutionException, TimeoutException {
    RpcFloor floor = new RpcFloor(channel, payload, nanos);
    floor.call();
    return floor.done.get(TimeUnit.NANOSECONDS.toSeconds(nanos) + GRACE_SECONDS, TimeUnit.SECONDS);
  }

  private void call() {
    sentNanos = System.nanoTime();
    try (TensorMessage<ForwardRequest> request =
        new TensorMessage<>(ForwardRequest.getDefaultInstance(), payload.retainedDuplicate())) {
      ClientCalls.asyncUnaryCall(
          channel.newCall(TensorMethods.FORWARD, CallOptions.DEFAULT), request, this);
    }
  }

  @Override
  public void onNext(TensorMessage<ForwardResponse> response) {
    response.close();
    latency.recordValue(System.nanoTime() - sentNanos);
  }

  @Override
  public void onError(Throwable failure) {
    done.completeExceptionally(failure);
  }

  @Override
  public void onCompleted() {
    long now = System.nanoTime();
    if (now < endNanos) {
      call();
    } else {
      done.complete(new Load(latency.getTotalCount(), now - startNanos, latency));
    }
  }
}
