package dev.guildhall.cli.chaos;

import dev.guildhall.proto.ForwardRequest;
import dev.guildhall.proto.ForwardResponse;
import dev.guildhall.proto.MoeLayerServiceGrpc;
import io.grpc.ManagedChannel;
import io.grpc.Status;
import io.grpc.StatusException;
import io.grpc.netty.NettyChannelBuilder;
import io.grpc.stub.StreamObserver;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.jspecify.annotations.Nullable;

/**
 * A client with one ForwardStream to one of several routers. When a router ends the stream well,
 * which it does when it shuts down, a request without an answer was not begun: it is sent again, on
 * a stream to the next router. A stream that breaks fails the request.
 */
final class StreamCaller implements Caller {
  private static final long DEADLINE_SECONDS = 10;

  private final List<ManagedChannel> routers;
  private int router;
  private long lastId;
  private @Nullable Stream stream;

  private StreamCaller(List<ManagedChannel> routers, int first) {
    this.routers = routers;
    this.router = first;
  }

  /**
   * Opens its stream at the first request.
   *
   * @param first which of the targets it starts with
   */
  static StreamCaller of(List<String> targets, int first) {
    return new StreamCaller(
        targets.stream()
            .<ManagedChannel>map(
                target -> NettyChannelBuilder.forTarget(target).usePlaintext().build())
            .toList(),
        first);
  }

  @Override
  public ForwardResponse forward(ForwardRequest request) throws Exception {
    long endNanos = System.nanoTime() + TimeUnit.SECONDS.toNanos(DEADLINE_SECONDS);
    ForwardRequest numbered = request.toBuilder().setId(++lastId).build();
    while (true) {
      Stream current = stream;
      if (current == null) {
        current = new Stream(MoeLayerServiceGrpc.newStub(routers.get(router)).withWaitForReady());
        stream = current;
      }
      try {
        Optional<ForwardResponse> answer =
            current.ask(numbered).get(endNanos - System.nanoTime(), TimeUnit.NANOSECONDS);
        if (answer.isPresent()) {
          return checked(answer.get());
        }
        current.close();
        stream = null;
        router = (router + 1) % routers.size();
      } catch (TimeoutException e) {
        throw Status.DEADLINE_EXCEEDED.withDescription("no answer on the stream").asException();
      } catch (ExecutionException e) {
        stream = null;
        router = (router + 1) % routers.size();
        throw Status.fromThrowable(e).asException();
      }
    }
  }

  private static ForwardResponse checked(ForwardResponse answer) throws StatusException {
    if (answer.hasError()) {
      throw Status.fromCodeValue(answer.getError().getCode())
          .withDescription(answer.getError().getMessage())
          .asException();
    }
    return answer;
  }

  @Override
  public void close() {
    routers.forEach(ManagedChannel::shutdownNow);
  }

  /** With one request in flight at most. */
  private static final class Stream implements StreamObserver<ForwardResponse> {
    private final StreamObserver<ForwardRequest> requests;
    private CompletableFuture<Optional<ForwardResponse>> answer = new CompletableFuture<>();
    private @Nullable Status end;

    Stream(MoeLayerServiceGrpc.MoeLayerServiceStub stub) {
      requests = stub.forwardStream(this);
    }

    /** Gives nothing if the router ends the stream well before it answers. */
    CompletableFuture<Optional<ForwardResponse>> ask(ForwardRequest request) {
      CompletableFuture<Optional<ForwardResponse>> asked = new CompletableFuture<>();
      synchronized (this) {
        answer = asked;
        if (end != null) {
          finish(end);
          return asked;
        }
      }
      requests.onNext(request);
      return asked;
    }

    @Override
    public synchronized void onNext(ForwardResponse response) {
      answer.complete(Optional.of(response));
    }

    @Override
    public void onError(Throwable failure) {
      finish(Status.fromThrowable(failure));
    }

    @Override
    public void onCompleted() {
      finish(Status.OK);
    }

    private synchronized void finish(Status status) {
      end = status;
      if (status.isOk()) {
        answer.complete(Optional.empty());
      } else {
        answer.completeExceptionally(status.asException());
      }
    }

    /** The router has closed its half. */
    void close() {
      requests.onCompleted();
    }
  }
}
