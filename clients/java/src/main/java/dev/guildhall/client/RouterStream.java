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
import java.util.EnumSet;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicInteger;
import org.jspecify.annotations.Nullable;

/**
 * Requests on one stream of a router, answered as they finish. Any thread may send.
 *
 * <p>A request that a router turns down because it is full or shuts down is sent again; the next
 * stream may be another router's. So is one that is lost with its stream, which harms nothing,
 * since a forward pass changes nothing; from then on it has a stream of its own: a message that a
 * router does not take, as one that is too large, ends its whole stream, and so fails alone.
 */
public final class RouterStream implements AutoCloseable {
  private static final long FIRST_BACKOFF_MILLIS = 50;

  /** What a router says of a request that it has not begun. */
  private static final Set<Status.Code> TURNED_DOWN =
      EnumSet.of(Status.Code.UNAVAILABLE, Status.Code.RESOURCE_EXHAUSTED);

  /** How a stream ends by no fault of most of its requests; the last two are resets. */
  private static final Set<Status.Code> LOST =
      EnumSet.of(
          Status.Code.UNAVAILABLE,
          Status.Code.RESOURCE_EXHAUSTED,
          Status.Code.CANCELLED,
          Status.Code.INTERNAL);

  private final Channel channel;
  private final Duration timeout;
  private final int attempts;
  private final Semaphore room;

  // Guarded by this object's lock.
  private final Set<Stream> open = new HashSet<>();
  private @Nullable Stream current;
  private long lastId;
  private boolean closed;

  RouterStream(Channel channel, Duration timeout, int attempts, int maxInFlight) {
    if (maxInFlight < 1) {
      throw new IllegalArgumentException(
          "maxInFlight is %d; allowed is from 1".formatted(maxInFlight));
    }
    this.channel = channel;
    this.timeout = timeout;
    this.attempts = attempts;
    this.room = new Semaphore(maxInFlight);
  }

  /**
   * Sends a request, once there is room for it.
   *
   * @param request without id and timeout_ms, which are set here
   * @return its answer; or {@link StatusRuntimeException}, DEADLINE_EXCEEDED after the client's
   *     timeout at the latest. Cancelling it gives the request up and makes room.
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
    CompletableFuture<ForwardResponse> answer =
        pending.answer.exceptionallyCompose(failure ->
            CompletableFuture.failedFuture(
                failure instanceof TimeoutException ? late().asRuntimeException() : failure));
    // What is cancelled is this one; the request's own has to be told.
    var _ =
        answer.whenComplete((response, failure) -> {
          if (answer.isCancelled()) {
            pending.answer.cancel(false);
          }
        });
    return answer;
  }

  private Status late() {
    return Status.DEADLINE_EXCEEDED.withDescription("there was no answer in " + timeout);
  }

  private void start(Pending pending) {
    synchronized (this) {
      if (pending.answer.isDone()) {
        return; // Late or cancelled, while it waited to be repeated.
      }
      if (!closed) {
        streamFor(pending).send(++lastId, pending);
        return;
      }
    }
    pending.fail(Status.UNAVAILABLE.withDescription("the stream was closed"));
  }

  private Stream streamFor(Pending pending) {
    if (pending.alone) {
      return new Stream(true);
    }
    if (current == null) {
      current = new Stream(false);
    }
    return current;
  }

  /** Sends it once more, or gives up. */
  private void repeat(
      Pending pending, Status status, Set<Status.Code> repeatable, long afterMillis) {
    int sends = pending.sends.get();
    if (!repeatable.contains(status.getCode()) || sends >= attempts) {
      pending.fail(status);
      return;
    }
    long backoff = FIRST_BACKOFF_MILLIS << (sends - 1);
    CompletableFuture.delayedExecutor(Math.max(backoff, afterMillis), TimeUnit.MILLISECONDS)
        .execute(() -> start(pending));
  }

  /** Fails what is in flight. */
  @Override
  public void close() {
    List<Stream> last;
    synchronized (this) {
      closed = true;
      last = List.copyOf(open);
    }
    last.forEach(stream -> stream.cancel("the stream was closed"));
  }

  /** One request until it is answered. */
  private static final class Pending {
    private final ForwardRequest request;
    private final long endNanos;
    private final CompletableFuture<ForwardResponse> answer = new CompletableFuture<>();
    private final AtomicInteger sends = new AtomicInteger();

    /** On a stream of its own, since it was lost with one. */
    private volatile boolean alone;

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
    private final boolean single;
    private final Map<Long, Pending> inFlight = new HashMap<>();
    private @Nullable ClientCallStreamObserver<ForwardRequest> requests;

    /**
     * @param single for one request alone
     */
    Stream(boolean single) {
      this.single = single;
      open.add(this);
      MoeLayerServiceGrpc.newStub(channel).forwardStream(this);
    }

    @Override
    public void beforeStart(ClientCallStreamObserver<ForwardRequest> stream) {
      requests = stream;
    }

    void send(long id, Pending pending) {
      pending.sends.incrementAndGet();
      inFlight.put(id, pending);
      var _ = pending.answer.whenComplete((response, failure) -> giveUp(id));
      requests().onNext(pending.message(id));
      if (single) {
        requests().onCompleted();
      }
    }

    /** Forgets a request that is late or cancelled. */
    private void giveUp(long id) {
      boolean unanswered;
      synchronized (RouterStream.this) {
        unanswered = inFlight.remove(id) != null;
      }
      if (single && unanswered) {
        cancel("its request was given up");
      }
    }

    void cancel(String why) {
      requests().cancel(why, null);
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
        repeat(pending, status, TURNED_DOWN, response.getError().getRetryAfterMs());
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
      end(Status.UNAVAILABLE.withDescription("the router has ended the stream"));
      // Only now, when nobody can find the stream and send on it any more.
      if (!single) {
        requests().onCompleted();
      }
    }

    private void end(Status status) {
      List<Pending> lost;
      boolean ours;
      synchronized (RouterStream.this) {
        lost = List.copyOf(inFlight.values());
        inFlight.clear();
        open.remove(this);
        if (current == this) {
          current = null;
        }
        ours = closed;
      }
      for (Pending pending : lost) {
        if (ours) {
          pending.fail(status);
        } else {
          pending.alone = true;
          repeat(pending, status, LOST, 0);
        }
      }
    }
  }
}
