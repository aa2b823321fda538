package dev.guildhall.cli.bench;

import dev.guildhall.proto.ForwardRequest;
import dev.guildhall.proto.ForwardResponse;
import dev.guildhall.rpc.Statuses;
import dev.guildhall.rpc.TensorMessage;
import dev.guildhall.rpc.TensorMethods;
import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.stub.ClientCalls;
import io.grpc.stub.StreamObserver;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.HdrHistogram.Histogram;
import org.jspecify.annotations.Nullable;

/**
 * A closed loop over one ForwardStream: as many requests in flight as the concurrency, each answer
 * sends the next request, on the channel's event loop.
 */
final class LayerLoad implements StreamObserver<TensorMessage<ForwardResponse>> {
  private static final long GRACE_SECONDS = 60;

  private final BenchedLayer.Request request;
  private final long startNanos = System.nanoTime();
  private final long endNanos;
  private final long[] sentNanos;
  private final Histogram latency = Load.histogram();
  private final CompletableFuture<Load> done = new CompletableFuture<>();

  // Guarded by this object's lock: the first requests are sent by the caller's thread.
  private @Nullable StreamObserver<TensorMessage<ForwardRequest>> requests;
  private int inFlight;

  private LayerLoad(BenchedLayer.Request request, int concurrency, long nanos) {
    this.request = request;
    this.endNanos = startNanos + nanos;
    this.sentNanos = new long[concurrency];
  }

  /**
   * Drives a router for a while.
   *
   * @param request sent again and again; lent
   */
  static Load run(Channel channel, BenchedLayer.Request request, int concurrency, long nanos)
      throws InterruptedException, ExecutionException, TimeoutException {
    LayerLoad load = new LayerLoad(request, concurrency, nanos);
    load.start(channel);
    return load.done.get(TimeUnit.NANOSECONDS.toSeconds(nanos) + GRACE_SECONDS, TimeUnit.SECONDS);
  }

  private synchronized void start(Channel channel) {
    requests =
        ClientCalls.asyncBidiStreamingCall(
            channel.newCall(TensorMethods.FORWARD_STREAM, CallOptions.DEFAULT), this);
    for (int id = 0; id < sentNanos.length; id++) {
      send(requests, id);
    }
  }

  private void send(StreamObserver<TensorMessage<ForwardRequest>> to, int id) {
    inFlight++;
    sentNanos[id] = System.nanoTime();
    try (TensorMessage<ForwardRequest> message =
        new TensorMessage<>(
            request.header().toBuilder().setId(id).build(),
            request.hiddenStates().retainedDuplicate())) {
      to.onNext(message);
    }
  }

  @Override
  public synchronized void onNext(TensorMessage<ForwardResponse> response) {
    response.close();
    long now = System.nanoTime();
    int id = (int) response.header().getId();
    inFlight--;
    latency.recordValue(now - sentNanos[id]);
    if (response.header().hasError()) {
      done.completeExceptionally(Statuses.toException(response.header().getError()));
    }
    if (requests == null || done.isDone()) {
      return;
    }
    if (now < endNanos) {
      send(requests, id);
    } else if (inFlight == 0) {
      requests.onCompleted();
      done.complete(new Load(latency.getTotalCount(), now - startNanos, latency));
    }
  }

  @Override
  public void onError(Throwable failure) {
    done.completeExceptionally(failure);
  }

  @Override
  public void onCompleted() {
    // The last answer has ended the round.
  }
}
