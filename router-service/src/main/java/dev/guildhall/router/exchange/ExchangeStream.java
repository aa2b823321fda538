package dev.guildhall.router.exchange;

import dev.guildhall.error.ErrorCode;
import dev.guildhall.error.GuildhallException;
import dev.guildhall.proto.ExchangeRequest;
import dev.guildhall.proto.ExchangeResponse;
import dev.guildhall.rpc.Statuses;
import dev.guildhall.rpc.TensorMessage;
import dev.guildhall.rpc.TensorMethods;
import dev.guildhall.rpc.TensorWriter;
import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.Status;
import io.grpc.stub.ClientCallStreamObserver;
import io.grpc.stub.ClientCalls;
import io.grpc.stub.ClientResponseObserver;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import org.jspecify.annotations.Nullable;

/**
 * One exchange stream to one replica: many batches in flight by id, until either side ends it.
 *
 * <p>Any thread may send and cancel. Deadlines and repetition are the caller's: a batch that is not
 * cancelled waits as long as the stream lives.
 */
public final class ExchangeStream {
  /** Lets one tensor be written while the next is already handed over. */
  private static final int READY_THRESHOLD_BYTES = 1 << 20;

  private static final long SILENCE_NANOS = TimeUnit.MILLISECONDS.toNanos(100);

  /** Hears of the stream's life, on an event loop. */
  public interface Listener {
    /** The stream takes batches now. Called at most once, before {@link #closed}. */
    void opened(ExchangeStream stream);

    /** The stream is over; every batch in flight has been told. Called once. */
    void closed(Status status);
  }

  private record InFlight(int rows, long expectedBytes, BatchReply reply) {}

  private final String replica;
  private final Map<Long, InFlight> inFlight = new ConcurrentHashMap<>();
  private final AtomicLong lastBatchId = new AtomicLong();
  private final AtomicLong outstandingRows = new AtomicLong();

  /** Batches that were given up and not answered since; the replica answers these too. */
  private final Set<Long> givenUp = ConcurrentHashMap.newKeySet();

  /** When it last answered, or when the first of those was given up. */
  private volatile long owesSinceNanos;

  private final ClientCallStreamObserver<TensorMessage<ExchangeRequest>> call;
  private final TensorWriter<ExchangeRequest> writer;

  /** Why no batch is taken any more. */
  private volatile @Nullable Status over;

  private ExchangeStream(
      String replica, ClientCallStreamObserver<TensorMessage<ExchangeRequest>> call) {
    this.replica = replica;
    this.call = call;
    this.writer = new TensorWriter<>(call, bytes -> {});
  }

  /**
   * Opens a stream; the listener is given it when it takes batches.
   *
   * @param replica its name in messages
   */
  public static void open(Channel channel, String replica, Listener listener) {
    ClientCalls.asyncBidiStreamingCall(
        channel.newCall(
            TensorMethods.EXCHANGE,
            CallOptions.DEFAULT.withOnReadyThreshold(READY_THRESHOLD_BYTES)),
        new Responses(replica, listener));
  }

  /** Rows sent and not yet answered. */
  public long outstandingRows() {
    return outstandingRows.get();
  }

  /**
   * Whether the replica owes an answer that nobody waits for any more, and has answered nothing for
   * a while: it may be slow, stopped or cut off.
   */
  public boolean silent() {
    return !givenUp.isEmpty() && System.nanoTime() - owesSinceNanos > SILENCE_NANOS;
  }

  /**
   * Sends a batch.
   *
   * @param header everything but the batch id
   * @param rows [rowCount, H]; ownership is transferred
   * @return the batch's id on this stream, for {@link #cancel}
   */
  public long send(ExchangeRequest.Builder header, ByteBuf rows, int rowCount, BatchReply reply) {
    long batchId = lastBatchId.incrementAndGet();
    inFlight.put(batchId, new InFlight(rowCount, rows.readableBytes(), reply));
    outstandingRows.addAndGet(rowCount);
    // After it is in flight: who ends the stream meanwhile finds it there.
    Status status = over;
    if (status == null) {
      writer.write(new TensorMessage<>(header.setBatchId(batchId).build(), rows));
      return batchId;
    }
    rows.release();
    if (remove(batchId) != null) {
      reply.failed(lost(status));
    }
    completeIfIdle();
    return batchId;
  }

  /** Gives a batch up: its reply is not called any more. Does nothing once it was answered. */
  public void cancel(long batchId) {
    if (givenUp.isEmpty()) {
      owesSinceNanos = System.nanoTime();
    }
    givenUp.add(batchId); // Before it is taken out, lest its answer come between.
    if (remove(batchId) == null || writer.withdraw(waits -> waits.getBatchId() == batchId)) {
      givenUp.remove(batchId); // Answered already, or not yet sent.
    } else {
      ExchangeRequest cancel =
          ExchangeRequest.newBuilder().setBatchId(batchId).setCancel(true).build();
      writer.write(new TensorMessage<>(cancel, Unpooled.EMPTY_BUFFER));
    }
    completeIfIdle();
  }

  /** Takes no more batches; those in flight are answered, then the replica ends the stream. */
  public void complete() {
    over = Status.UNAVAILABLE.withDescription("it is shutting down");
    completeIfIdle();
  }

  /** As long as batches are in flight, they may have to be cancelled. */
  private void completeIfIdle() {
    if (over != null && inFlight.isEmpty()) {
      writer.complete();
    }
  }

  /** Ends the stream from this side; batches in flight fail as if the replica were lost. */
  public void abort() {
    call.cancel("the router ends the stream", null);
  }

  private @Nullable InFlight remove(long batchId) {
    InFlight batch = inFlight.remove(batchId);
    if (batch != null) {
      outstandingRows.addAndGet(-batch.rows);
    }
    return batch;
  }

  private void answered(TensorMessage<ExchangeResponse> response) {
    InFlight batch = remove(response.header().getBatchId());
    boolean wasGivenUp = givenUp.remove(response.header().getBatchId());
    owesSinceNanos = System.nanoTime();
    if (batch == null) {
      response.close();
      if (!wasGivenUp) {
        // Whose rows they are is not to be known; nor whether its other answers are in order.
        call.cancel(
            "it answered batch %s, which is not in flight"
                .formatted(Long.toUnsignedString(response.header().getBatchId())),
            null);
      }
    } else if (response.header().hasError()) {
      response.close();
      batch.reply.failed(Statuses.toException(response.header().getError()));
    } else if (response.payload().readableBytes() != batch.expectedBytes) {
      response.close();
      batch.reply.failed(wrongSize(response.payload().readableBytes(), batch.expectedBytes));
    } else {
      batch.reply.succeeded(response.takePayload(), times(response.header()));
    }
    completeIfIdle();
  }

  private static ReplicaTimes times(ExchangeResponse response) {
    return new ReplicaTimes(
        TimeUnit.MICROSECONDS.toNanos(response.getQueueUs()),
        TimeUnit.MICROSECONDS.toNanos(response.getWorkUs()));
  }

  private void finished(Status status) {
    over = status;
    writer.close();
    for (Long batchId : List.copyOf(inFlight.keySet())) {
      InFlight batch = remove(batchId);
      if (batch != null) {
        batch.reply.failed(lost(status));
      }
    }
  }

  private GuildhallException lost(Status status) {
    String reason = status.getDescription();
    return new GuildhallException(
        ErrorCode.UNAVAILABLE,
        "replica %s was lost: %s"
            .formatted(replica, reason == null ? status.getCode().name() : reason),
        status.getCause());
  }

  private GuildhallException wrongSize(int bytes, long expected) {
    return new GuildhallException(
        ErrorCode.INTERNAL,
        "replica %s answered %d bytes where %d were due".formatted(replica, bytes, expected));
  }

  /** The receiving half, which makes the stream once gRPC hands over the sending half. */
  private static final class Responses
      implements ClientResponseObserver<
          TensorMessage<ExchangeRequest>, TensorMessage<ExchangeResponse>> {
    private final String replica;
    private final Listener listener;
    private @Nullable ExchangeStream stream;
    private boolean opened;

    Responses(String replica, Listener listener) {
      this.replica = replica;
      this.listener = listener;
    }

    @Override
    public void beforeStart(ClientCallStreamObserver<TensorMessage<ExchangeRequest>> requests) {
      ExchangeStream starting = new ExchangeStream(replica, requests);
      stream = starting;
      requests.setOnReadyHandler(() -> onReady(starting));
    }

    private void onReady(ExchangeStream ready) {
      if (!opened) {
        opened = true;
        listener.opened(ready);
      }
      ready.writer.drain();
    }

    @Override
    public void onNext(TensorMessage<ExchangeResponse> response) {
      requireStream().answered(response);
    }

    @Override
    public void onError(Throwable failure) {
      end(Status.fromThrowable(failure));
    }

    @Override
    public void onCompleted() {
      end(Status.UNAVAILABLE.withDescription("the replica ended the stream"));
    }

    private void end(Status status) {
      requireStream().finished(status);
      listener.closed(status);
    }

    private ExchangeStream requireStream() {
      if (stream == null) {
        throw new IllegalStateException("gRPC answered a call that was not started");
      }
      return stream;
    }
  }
}
