package dev.guildhall.expert.exchange;

import static dev.guildhall.error.GuildhallException.invalidArgument;
import static java.util.Objects.requireNonNull;

import dev.guildhall.error.GuildhallException;
import dev.guildhall.expert.batching.BatchCompletion;
import dev.guildhall.expert.batching.ComputePool;
import dev.guildhall.expert.batching.RowBatch;
import dev.guildhall.proto.ExchangeRequest;
import dev.guildhall.proto.ExchangeResponse;
import dev.guildhall.rpc.Buffers;
import dev.guildhall.rpc.InboundWindow;
import dev.guildhall.rpc.Statuses;
import dev.guildhall.rpc.TensorMessage;
import dev.guildhall.rpc.TensorWriter;
import dev.guildhall.rpc.WireFloats;
import dev.guildhall.tensor.DType;
import dev.guildhall.tracing.Tracing;
import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.StreamObserver;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.jspecify.annotations.Nullable;

/**
 * One router's exchange stream: batches go to the compute pool as they come, and back by id as they
 * finish.
 *
 * <p>Requests come on the stream's event loop, completions on the pool's workers. No more than
 * {@link #MAX_IN_FLIGHT} batches, or {@link #MAX_IN_FLIGHT_BYTES}, are read before the answers to
 * earlier ones are taken.
 */
final class ExchangeSession implements StreamObserver<TensorMessage<ExchangeRequest>> {
  private static final int MAX_IN_FLIGHT = 1024;

  /** As many as keep a network busy for some 50 ms at 10 Gbit/s. */
  private static final long MAX_IN_FLIGHT_BYTES = 64 << 20;

  /** What a longer timeout, up to the largest uint64, counts as. */
  private static final long LONGEST_TIMEOUT_US = TimeUnit.HOURS.toMicros(1);

  private final HostedExperts experts;
  private final ComputePool pool;
  private final Tracing tracing;
  private final InboundWindow window;
  private final TensorWriter<ExchangeResponse> writer;
  private final Map<Long, RowBatch> inFlight = new ConcurrentHashMap<>();

  /** Batches not yet answered, and one for the router's half until it is closed. */
  private final AtomicInteger open = new AtomicInteger(1);

  ExchangeSession(
      HostedExperts experts,
      ComputePool pool,
      Tracing tracing,
      ServerCallStreamObserver<TensorMessage<ExchangeResponse>> responses) {
    this.experts = experts;
    this.pool = pool;
    this.tracing = tracing;
    this.window = new InboundWindow(responses, MAX_IN_FLIGHT, MAX_IN_FLIGHT_BYTES);
    this.writer = new TensorWriter<>(responses, window::taken);
    responses.disableAutoRequest();
    responses.setOnReadyHandler(writer::drain);
    responses.setOnCancelHandler(this::cancelAll);
    // gRPC itself closes a stream that brings what cannot be parsed, without a cancel.
    responses.setOnCloseHandler(this::cancelAll);
    window.open();
  }

  @Override
  public void onNext(TensorMessage<ExchangeRequest> request) {
    long batchId = request.header().getBatchId();
    int bytes = request.payload().readableBytes();
    window.arrived(bytes);
    if (request.header().getCancel()) {
      request.close();
      RowBatch batch = inFlight.get(batchId);
      if (batch != null) {
        batch.cancel();
      }
      window.taken(bytes);
      return;
    }
    open.incrementAndGet();
    Completion completion = new Completion(request);
    try {
      RowBatch batch = completion.toBatch();
      if (inFlight.putIfAbsent(batchId, batch) != null) {
        throw invalidArgument("batch_id %d is in flight already".formatted(batchId));
      }
      submit(batchId, batch);
    } catch (RuntimeException | OutOfMemoryError e) {
      completion.refused(e);
    }
  }

  private void submit(long batchId, RowBatch batch) {
    try {
      pool.computeOrSubmit(batch);
    } catch (RuntimeException | OutOfMemoryError e) {
      inFlight.remove(batchId);
      throw e;
    }
  }

  /** The rows per expert of a batch, checked against what is hosted and what was sent. */
  private static List<RowBatch.Segment> segments(
      ExchangeRequest header, HostedVersion layer, ByteBuf rows, DType dtype) {
    if (header.getExpertsCount() == 0 || header.getExpertsCount() != header.getRowCountsCount()) {
      throw invalidArgument(
          "the batch names %d experts and %d row_counts; allowed is as many of both, from 1"
              .formatted(header.getExpertsCount(), header.getRowCountsCount()));
    }
    List<RowBatch.Segment> segments = new ArrayList<>(header.getExpertsCount());
    long rowCount = 0;
    for (int i = 0; i < header.getExpertsCount(); i++) {
      segments.add(
          new RowBatch.Segment(layer.expert(header.getExperts(i)), header.getRowCounts(i)));
      rowCount += header.getRowCounts(i);
    }
    long bytes = rowCount * layer.hiddenSize() * dtype.bytes();
    if (rows.readableBytes() != bytes) {
      throw invalidArgument(
          "rows has %d bytes; allowed is %d, for %d rows of hidden_size %d in %s"
              .formatted(rows.readableBytes(), bytes, rowCount, layer.hiddenSize(), dtype));
    }
    return segments;
  }

  private static long deadlineNanos(ExchangeRequest header) {
    if (header.getTimeoutUs() == 0) {
      throw invalidArgument("timeout_us is 0; allowed is from 1");
    }
    long timeoutUs =
        Long.compareUnsigned(header.getTimeoutUs(), LONGEST_TIMEOUT_US) < 0
            ? header.getTimeoutUs()
            : LONGEST_TIMEOUT_US;
    return System.nanoTime() + TimeUnit.MICROSECONDS.toNanos(timeoutUs);
  }

  private void closeOne() {
    if (open.decrementAndGet() == 0) {
      writer.complete();
    }
  }

  private void cancelAll() {
    writer.close();
    inFlight.values().forEach(RowBatch::cancel);
  }

  @Override
  public void onError(Throwable failure) {
    cancelAll();
  }

  @Override
  public void onCompleted() {
    closeOne();
  }

  /** Owns a batch's memory until the batch has ended: the rows as sent, and then fp32 both ways. */
  private final class Completion implements BatchCompletion {
    private final ExchangeRequest header;
    private final int requestBytes;
    private final BatchSpan span;
    private ByteBuf in;
    private ByteBuf out = Unpooled.EMPTY_BUFFER;
    private @Nullable HostedVersion version;
    private @Nullable RowBatch batch;

    Completion(TensorMessage<ExchangeRequest> request) {
      header = request.header();
      requestBytes = request.payload().readableBytes();
      in = request.takePayload();
      span = BatchSpan.begin(tracing, header);
    }

    RowBatch toBatch() {
      DType dtype = WireFloats.dtype(header.getDtype());
      HostedVersion layer = experts.acquire(header.getLayer(), header.getDigest());
      version = layer;
      List<RowBatch.Segment> segments = segments(header, layer, in, dtype);
      long deadlineNanos = deadlineNanos(header);
      ByteBuf sent = in;
      in = Unpooled.EMPTY_BUFFER; // The conversion takes it over, whether it succeeds or not.
      in = WireFloats.toFp32(sent, dtype);
      out = Buffers.allocate(in.readableBytes());
      RowBatch created =
          new RowBatch(segments, Buffers.segment(in), Buffers.segment(out), deadlineNanos, this);
      batch = created;
      return created;
    }

    @Override
    public void succeeded() {
      inFlight.remove(header.getBatchId());
      RowBatch done = requireNonNull(batch);
      span.computed(done);
      in.release();
      ExchangeResponse response =
          ExchangeResponse.newBuilder()
              .setBatchId(header.getBatchId())
              .setDtype(header.getDtype())
              .setQueueUs(TimeUnit.NANOSECONDS.toMicros(done.queueNanos()))
              .setWorkUs(TimeUnit.NANOSECONDS.toMicros(done.workNanos()))
              .build();
      ByteBuf rows;
      try {
        rows = WireFloats.fromFp32(out, WireFloats.dtype(header.getDtype()));
      } catch (RuntimeException | OutOfMemoryError e) {
        answerFailure(e);
        return;
      }
      span.end();
      answer(new TensorMessage<>(response, rows));
    }

    @Override
    public void failed(GuildhallException failure) {
      inFlight.remove(header.getBatchId());
      refused(failure);
    }

    /** The batch never came to be in flight. */
    void refused(Throwable failure) {
      in.release();
      out.release();
      answerFailure(failure);
    }

    private void answerFailure(Throwable failure) {
      span.fail(failure);
      ExchangeResponse response =
          ExchangeResponse.newBuilder()
              .setBatchId(header.getBatchId())
              .setError(Statuses.toError(failure))
              .build();
      answer(new TensorMessage<>(response, Unpooled.EMPTY_BUFFER));
    }

    private void answer(TensorMessage<ExchangeResponse> response) {
      if (version != null) {
        version.uses().release();
      }
      window.answered(requestBytes, response.payload().readableBytes());
      writer.write(response);
      closeOne();
    }
  }
}
