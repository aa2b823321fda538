package dev.guildhall.client;

import com.google.common.util.concurrent.FutureCallback;
import com.google.common.util.concurrent.Futures;
import com.google.common.util.concurrent.ListenableFuture;
import com.google.common.util.concurrent.MoreExecutors;
import dev.guildhall.proto.DescribeLayerRequest;
import dev.guildhall.proto.DescribeLayerResponse;
import dev.guildhall.proto.ForwardRequest;
import dev.guildhall.proto.ForwardResponse;
import dev.guildhall.proto.LayerSummary;
import dev.guildhall.proto.ListLayersRequest;
import dev.guildhall.proto.MoeLayerServiceGrpc;
import io.grpc.Channel;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;

/**
 * Calls routers. Any thread may use it; every call has a deadline.
 *
 * <p>What fails throws, or completes with, {@link io.grpc.StatusRuntimeException}: its code and
 * description say what was wrong.
 */
public final class RouterClient {
  private final Channel channel;
  private final Duration timeout;
  private final int streamAttempts;

  /** A client whose streams send a request as often as a connection does that is told nothing. */
  public RouterClient(Channel channel, Duration timeout) {
    this(channel, timeout, RouterConnection.USUAL_ATTEMPTS);
  }

  /**
   * A client of a channel that stays the caller's.
   *
   * @param channel as {@link RouterConnection#open()} makes it; it repeats calls by itself
   * @param timeout of each call, its repetitions included
   * @param streamAttempts how often a request of a {@link #stream} is sent at most, as {@link
   *     RouterConnection#attempts()} says it of calls: a channel cannot be asked
   */
  public RouterClient(Channel channel, Duration timeout, int streamAttempts) {
    RouterConnection.requireAttempts(streamAttempts);
    if (timeout.isNegative() || timeout.isZero()) {
      throw new IllegalArgumentException(
          "timeout is %s; allowed is a time above 0".formatted(timeout));
    }
    this.channel = channel;
    this.timeout = timeout;
    this.streamAttempts = streamAttempts;
  }

  /** Runs a layer. */
  public ForwardResponse forward(ForwardRequest request) {
    return blocking().forward(request);
  }

  /** Runs a layer; cancelling what is returned cancels the call. */
  public CompletableFuture<ForwardResponse> forwardAsync(ForwardRequest request) {
    ListenableFuture<ForwardResponse> call =
        MoeLayerServiceGrpc.newFutureStub(channel)
            .withDeadlineAfter(timeout.toNanos(), TimeUnit.NANOSECONDS)
            .forward(request);
    CompletableFuture<ForwardResponse> answer = new CompletableFuture<>();
    Futures.addCallback(
        call,
        new FutureCallback<>() {
          @Override
          public void onSuccess(ForwardResponse response) {
            answer.complete(response);
          }

          @Override
          public void onFailure(Throwable failure) {
            answer.completeExceptionally(failure);
          }
        },
        MoreExecutors.directExecutor());
    var _ =
        answer.whenComplete((response, failure) -> {
          if (answer.isCancelled()) {
            call.cancel(true);
          }
        });
    return answer;
  }

  /**
   * Many requests on one stream, which costs less than a call for each.
   *
   * @param maxInFlight requests that may wait for their answers; the next one waits for room
   */
  public RouterStream stream(int maxInFlight) {
    return new RouterStream(channel, timeout, streamAttempts, maxInFlight);
  }

  /** The layers that a router serves. */
  public List<LayerSummary> layers() {
    return blocking().listLayers(ListLayersRequest.getDefaultInstance()).getLayersList();
  }

  /** A layer's configuration, and who hosts its experts now. */
  public DescribeLayerResponse describe(String layer) {
    return blocking().describeLayer(DescribeLayerRequest.newBuilder().setLayer(layer).build());
  }

  private MoeLayerServiceGrpc.MoeLayerServiceBlockingStub blocking() {
    return MoeLayerServiceGrpc.newBlockingStub(channel)
        .withDeadlineAfter(timeout.toNanos(), TimeUnit.NANOSECONDS);
  }
}
