package dev.guildhall.cli.bench;

import dev.guildhall.proto.ExchangeRequest;
import dev.guildhall.proto.ExchangeResponse;
import dev.guildhall.rpc.Buffers;
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
import org.jspecify.annotations.Nullable;

/** Messages one way over an exchange stream, a few in flight; each that has come is told of. */
final class ExchangeLoad implements StreamObserver<TensorMessage<ExchangeResponse>> {
  private static final int IN_FLIGHT = 8;
  private static final long GRACE_SECONDS = 30;

  private final ByteBuf payload;
  private final long startNanos = System.nanoTime();
  private final long endNanos;
  private final CompletableFuture<Double> done = new CompletableFuture<>();

  // Guarded by this object's lock: the first messages are sent by the caller's thread.
  private @Nullable StreamObserver<TensorMessage<ExchangeRequest>> requests;
  private int inFlight;
  private long received;

  private ExchangeLoad(ByteBuf payload, long nanos) {
    this.payload = payload;
    this.endNanos = startNanos + nanos;
  }

  /** Streams for a while and gives gigabytes a second. */
  static double run(Channel channel, int bytes, long nanos)
      throws InterruptedException, ExecutionException, TimeoutException {
    ByteBuf payload = Buffers.allocate(bytes);
    try {
      ExchangeLoad load = new ExchangeLoad(payload, nanos);
      load.start(channel);
      return load.done.get(TimeUnit.NANOSECONDS.toSeconds(nanos) + GRACE_SECONDS, TimeUnit.SECONDS);
    } finally {
      payload.release();
    }
  }

  private synchronized void start(Channel channel) {
    requests =
        ClientCalls.asyncBidiStreamingCall(
            channel.newCall(TensorMethods.EXCHANGE, CallOptions.DEFAULT), this);
    for (int i = 0; i < IN_FLIGHT; i++) {
      send(requests);
    }
  }

  private void send(StreamObserver<TensorMessage<ExchangeRequest>> to) {
    inFlight++;
    try (TensorMessage<ExchangeRequest> request =
        new TensorMessage<>(ExchangeRequest.getDefaultInstance(), payload.retainedDuplicate())) {
      to.onNext(request);
    }
  }

  @Override
  public synchronized void onNext(TensorMessage<ExchangeResponse> response) {
    response.close();
    received += payload.readableBytes();
    inFlight--;
    long now = System.nanoTime();
    if (requests == null) {
      return;
    }
    if (now < endNanos) {
      send(requests);
    } else if (inFlight == 0) {
      requests.onCompleted();
      done.complete((double) received / (now - startNanos));
    }
  }

  @Override
  public void onError(Throwable failure) {
    done.completeExceptionally(failure);
  }

  @Override
  public void onCompleted() {
    // The last message told of has ended the round.
  }
}
