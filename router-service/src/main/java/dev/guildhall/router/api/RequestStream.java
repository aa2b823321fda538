package dev.guildhall.router.api;

import com.google.protobuf.MessageLite;
import dev.guildhall.error.ErrorCode;
import dev.guildhall.error.GuildhallException;
import dev.guildhall.rpc.InboundWindow;
import dev.guildhall.rpc.TensorMessage;
import dev.guildhall.rpc.TensorWriter;
import io.grpc.stub.ServerCallStreamObserver;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.IntConsumer;
import java.util.function.Supplier;

/**
 * The requests of one stream, of whichever API: how many may be read, what runs, and when the
 * stream ends.
 *
 * <p>No more than {@link #MAX_IN_FLIGHT} requests, or {@link #MAX_IN_FLIGHT_BYTES}, are read before
 * the answers to earlier ones are taken. When the router drains, or the stream is old, requests in
 * progress are answered and the stream ends; what comes later is refused. Thread-safe.
 *
 * @param <A> header of its answers
 */
public final class RequestStream<A extends MessageLite> {
  private static final int MAX_IN_FLIGHT = 256;

  /** A few large requests, or all the small ones. */
  private static final long MAX_IN_FLIGHT_BYTES = 64 << 20;

  private final InboundWindow window;
  private final TensorWriter<A> writer;

  /** How to cancel what runs, by its answer. */
  private final Map<Object, Runnable> cancels = new ConcurrentHashMap<>();

  /** Requests not yet answered, and one as long as new ones are taken. */
  private final AtomicInteger open = new AtomicInteger(1);

  /** The caller has closed its half, or the router drains. */
  private final AtomicBoolean lastTaken = new AtomicBoolean();

  /**
   * Begins to read.
   *
   * @param written told the payload's bytes of each answer that gRPC has taken
   * @param streams where it is as long as it is open
   */
  public RequestStream(
      ServerCallStreamObserver<TensorMessage<A>> responses,
      StreamLimits limits,
      IntConsumer written,
      OpenStreams streams) {
    window = new InboundWindow(responses, MAX_IN_FLIGHT, MAX_IN_FLIGHT_BYTES);
    writer = new TensorWriter<>(responses, written);
    Future<?> ageLimit = limits.atMaxAge(this::drain);
    responses.disableAutoRequest();
    responses.setOnReadyHandler(writer::drain);
    Runnable end =
        () -> {
          ageLimit.cancel(false);
          streams.remove(this);
          cancel();
        };
    responses.setOnCancelHandler(end);
    // gRPC itself closes a stream that brings what cannot be parsed, without a cancel.
    responses.setOnCloseHandler(end);
    window.open();
    streams.add(this);
  }

  /** What is told how the messages become answers, and when they are taken. */
  public InboundWindow window() {
    return window;
  }

  public TensorWriter<A> writer() {
    return writer;
  }

  /**
   * A request of so many bytes has come: it is to be answered, and that is to be told by {@link
   * #answered}.
   */
  public void arrived(int bytes) {
    open.incrementAndGet();
    window.arrived(bytes);
  }

  /** Whether a request that comes now is too late: it is answered with {@link #tooLate}. */
  public boolean takesNoMore() {
    return lastTaken.get();
  }

  public static GuildhallException tooLate() {
    return new GuildhallException(
        ErrorCode.UNAVAILABLE, "this stream takes no more requests; open another one");
  }

  /**
   * Runs a request; if the stream ends before it is {@link #forget forgotten}, it is cancelled.
   *
   * @param start gives what cancels it
   */
  public void start(Object answer, Supplier<Runnable> start) {
    CancelSwitch cancel = new CancelSwitch();
    cancels.put(answer, cancel);
    cancel.set(start.get());
  }

  /** A request runs no more: there is nothing to cancel. */
  public void forget(Object answer) {
    cancels.remove(answer);
  }

  /** The writer has the answers to so many requests. */
  public void answered(int requests) {
    if (requests > 0 && open.addAndGet(-requests) == 0) {
      writer.complete();
    }
  }

  /** Takes no more requests; the stream ends when those it has are answered. */
  public void drain() {
    if (!lastTaken.getAndSet(true)) {
      answered(1);
    }
  }

  /** Nobody waits for answers any more. */
  public void cancel() {
    writer.close();
    cancels.values().forEach(Runnable::run);
  }
}
