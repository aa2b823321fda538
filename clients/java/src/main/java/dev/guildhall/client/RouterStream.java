package dev.guildhall.client;

import dev.guildhall.proto.ForwardRequest;
import dev.guildhall.proto.ForwardResponse;
import dev.guildhall.proto.MoeLayerServiceGrpc;
import io.grpc.Channel;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.ClientCallStreamObserver;
import io.grpc.stub.ClientResponseObserver;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicInteger;
import org.jspecify.annotations.Nullable;

/**
 * Requests on one stream of a router, answered as they finish. A request that a router turns down
 * because it is full or shuts down, or that is lost with its stream, is sent again, a few times;
 * the next stream may be another router's. Any thread may send.
 */
public final class RouterStream implements AutoCloseable {
  private static final int MOST_SENDS = 4;
  private static final long FIRST_BACKOFF_MILLIS = 50;

  private final Channel channel;
  private final Duration timeout;
  private final Semaphore room;

  // Guarded by this object's lock.
  private @Nullable Stream current;
  private long lastId;
  private boolean closed;

  RouterStream(Channel channel, Duration timeout, int maxInFlight) {
    if (maxInFlight < 1) {
      throw new IllegalArgumentException(
          "maxInFlight is %d; allowed is from 1".formatted(maxInFlight));
    }
    this.channel = channel;
    this.timeout = timeout;
    this.room = new Semaphore(maxInFlight);
  }

  /**
   * Sends a request, once there is room for it.
   *
   * @param request without id and timeout_ms, which are set here
   * @return its answer; or {@link StatusRuntimeException}, DEADLINE_EXCEEDED after the client's
   *     timeout at the latest
   * @throws StatusRuntimeException DEADLINE_EXCEEDED if there is no room for as long
   */
  public CompletableFuture<ForwardResponse> send(ForwardRequest request)
      throws InterruptedException {
    if (!room.tryAcquire(timeout.toNanos(), TimeUnit.NANOSECONDS)) {
      throw late().asRuntimeException();
    }
    Pending pending = new Pending(request, System.nanoTime() + timeout.toNanos());
    var _ =
        pending
            .answer
            .orTimeout(timeout.toNanos(), TimeUnit.NANOSECONDS)
            .whenComplete((response, failure) -> room.release());
    start(pending);
    return pending.answer.exceptionallyCompose(failure ->
        CompletableFuture.failedFuture(
            failure instanceof TimeoutException ? late().asRuntimeException() : failure));
  }

  private Status late() {
    return Status.DEADLINE_EXCEEDED.withDescription("there was no answer in " + timeout);
  }

  private void start(Pending pending) {
    synchronized (this) {
      if (!closed) {
        if (current == null) {
          current = new Stream();
        }
        current.send(++lastId, pending);
        return;
      }
    }
    pending.fail(Status.UNAVAILABLE.withDescription("the stream was closed"));
  }

  /** Sends it once more, or gives up. */
  private void repeat(Pending pending, Status status, long afterMillis) {
    boolean repeatable =
        status.getCode() == Status.Code.UNAVAILABLE
            || status.getCode() == Status.Code.RESOURCE_EXHAUSTED;
    if (!repeatable || pending.sends.get() == MOST_SENDS || pending.answer.isDone()) {
      pending.fail(status);
      return;
    }
    long backoff = FIRST_BACKOFF_MILLIS << (pending.sends.get() - 1);
    CompletableFuture.delayedExecutor(Math.max(backoff, afterMillis), TimeUnit.MILLISECONDS)
        .execute(() -> start(pending));
  }

  /** Fails what is in flight. */
  @Override
  public void close() {
    Stream last;
    synchronized (this) {
      closed = true;
      last = current;
    }
    if (last != null) {
      last.cancel();
    }
  }

  /** One request until it is answered. */
  private static final class Pending {
    private final ForwardRequest request;
    private final long endNanos;
    private final CompletableFuture<ForwardResponse> answer = new CompletableFuture<>();
    private final AtomicInteger sends = new AtomicInteger();

    Pending(ForwardRequest request, long endNanos) {
      this.request = request;
      this.endNanos = endNanos;
    }

    /** As it is sent, with the time that is left. */
    ForwardRequest message(long id) {
      long millis = TimeUnit.NANOSECONDS.toMillis(endNanos - System.nanoTime());
      return request.toBuilder()
          .setId(id)
          .setTimeoutMs(Math.clamp(millis, 1, Integer.MAX_VALUE))
          .build();
    }

    void fail(Status status) {
      answer.completeExceptionally(status.asRuntimeException());
    }
  }

  /** A stream of one router, until that ends it. Its state is guarded by the outer lock. */
  private final class Stream implements ClientResponseObserver<ForwardRequest, ForwardResponse> {
    private final Map<Long, Pending> inFlight = new HashMap<>();
    private @Nullable ClientCallStreamObserver<ForwardRequest> requests;

    Stream() {
      MoeLayerServiceGrpc.newStub(channel).forwardStream(this);
    }

    @Override
    public void beforeStart(ClientCallStreamObserver<ForwardRequest> stream) {
      requests = stream;
    }

    void send(long id, Pending pending) {
      pending.sends.incrementAndGet();
      inFlight.put(id, pending);
      var _ = pending.answer.whenComplete((response, failure) -> forget(id));
      requests().onNext(pending.message(id));
    }

    private void forget(long id) {
      synchronized (RouterStream.this) {
        inFlight.remove(id);
      }
    }

    void cancel() {
      requests().cancel("the stream was closed", null);
    }

    private ClientCallStreamObserver<ForwardRequest> requests() {
      if (requests == null) {
        throw new IllegalStateException("the call has not started");
      }
      return requests;
    }

    @Override
    public void onNext(ForwardResponse response) {
      Pending pending;
      synchronized (RouterStream.this) {
        pending = inFlight.remove(response.getId());
      }
      if (pending == null) {
        return; // Too late.
      }
      if (response.hasError()) {
        Status status =
            Status.fromCodeValue(response.getError().getCode())
                .withDescription(response.getError().getMessage());
        repeat(pending, status, response.getError().getRetryAfterMs());
      } else {
        pending.answer.complete(response);
      }
    }

    @Override
    public void onError(Throwable failure) {
      end(Status.fromThrowable(failure));
    }

    @Override
    public void onCompleted() {
      requests().onCompleted();
      end(Status.UNAVAILABLE.withDescription("the router has ended the stream"));
    }

    private void end(Status status) {
      List<Pending> lost;
      synchronized (RouterStream.this) {
        lost = List.copyOf(inFlight.values());
        inFlight.clear();
        if (current == this) {
          current = null;
        }
      }
      lost.forEach(pending -> repeat(pending, status, 0));
    }
  }
}
