package dev.guildhall.router.forward;

import static java.util.Objects.requireNonNull;

import dev.guildhall.error.ErrorCode;
import dev.guildhall.error.GuildhallException;
import dev.guildhall.proto.ExchangeRequest;
import dev.guildhall.repository.LayerConfig;
import dev.guildhall.router.combine.Combine;
import dev.guildhall.router.dispatch.Batch;
import dev.guildhall.router.dispatch.Dispatch;
import dev.guildhall.router.dispatch.DispatchPlan;
import dev.guildhall.router.dispatch.RowGather;
import dev.guildhall.router.exchange.BatchReply;
import dev.guildhall.router.exchange.ExchangeStream;
import dev.guildhall.router.gate.Jitter;
import dev.guildhall.router.gate.Routing;
import dev.guildhall.router.projection.Logits;
import dev.guildhall.router.replicas.LayerHosts;
import dev.guildhall.router.replicas.Replica;
import dev.guildhall.router.replicas.ReplicaPicker;
import dev.guildhall.rpc.Buffers;
import dev.guildhall.rpc.WireFloats;
import io.netty.buffer.ByteBuf;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.Executor;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/**
 * One request under way: projection, gate, dispatch, exchange, combine.
 *
 * <p>{@link #start} goes as far as the batches sent; the combine begins when the last one is back.
 * Between the two, replies, cancellation and the deadline come on any thread: the lock guards which
 * of them ends the call. Whoever ends it gives the buffers back and tells the listener.
 */
final class ForwardCall {
  private static final int FLOAT_BYTES = Float.BYTES;

  private record Sent(ExchangeStream stream, long batchId) {}

  /** What the gate decided and dispatch made of it. */
  private record Routed(Logits logits, Routing routing, DispatchPlan plan, long atNanos) {}

  private final ForwardJob job;
  private final LayerHosts hosts;
  private final ExchangeSettings settings;
  private final Executor executor;
  private final ForwardListener listener;

  private final Object lock = new Object();
  private final List<Sent> sent = new ArrayList<>();
  private @Nullable ByteBuf[] blocks = new ByteBuf[0];
  private int blocksMissing;
  private boolean ended;

  /**
   * @param executor where the gate, the gather and the combine run
   */
  ForwardCall(
      ForwardJob job,
      LayerHosts hosts,
      ExchangeSettings settings,
      Executor executor,
      ForwardListener listener) {
    this.job = job;
    this.hosts = hosts;
    this.settings = settings;
    this.executor = executor;
    this.listener = listener;
  }

  /** Starts on the executor; never throws. */
  void start() {
    execute(this::run);
  }

  private void execute(Runnable step) {
    try {
      executor.execute(step);
    } catch (RejectedExecutionException e) {
      fail(
          new GuildhallException(
              ErrorCode.UNAVAILABLE,
              "layer %s: the router is shutting down".formatted(job.layer().name()),
              e));
    }
  }

  private void run() {
    synchronized (lock) {
      if (ended) {
        return; // While it waited for a worker.
      }
      // Whoever ends the call meanwhile must not free the rows that are being read here.
      job.hiddenStates().retain();
    }
    try {
      MemorySegment hiddenStates = Buffers.segment(job.hiddenStates());
      ReplicaPicker picker = new ReplicaPicker(hosts);
      Routed routed = route(hiddenStates, picker);
      synchronized (lock) {
        blocksMissing = routed.plan().batches().size();
        blocks = new ByteBuf[blocksMissing];
      }
      if (routed.plan().batches().isEmpty()) {
        combine(routed);
        return;
      }
      for (int i = 0; i < routed.plan().batches().size(); i++) {
        send(i, routed, hiddenStates, picker.chosen());
      }
    } catch (RuntimeException | OutOfMemoryError e) {
      fail(e);
    } finally {
      job.hiddenStates().release();
    }
  }

  private Routed route(MemorySegment hiddenStates, ReplicaPicker picker) {
    LayerConfig config = job.layer().config();
    Logits logits = project(hiddenStates);
    Routing routing =
        job.layer()
            .gate()
            .route(logits.gate(), job.tokens(), job.training(), job.usedTokens(), job.noise());
    DispatchPlan plan =
        Dispatch.plan(
            routing, config.useResidual(), settings.maxRows(config.hiddenSize()), picker::choose);
    return new Routed(logits, routing, plan, System.nanoTime());
  }

  private Logits project(MemorySegment hiddenStates) {
    ServedLayer layer = job.layer();
    Logits logits = layer.projection().project(hiddenStates, job.tokens());
    if (!Jitter.applies(layer.config(), job.training())) {
      return logits;
    }
    ByteBuf jittered = Buffers.allocate(Math.toIntExact(hiddenStates.byteSize()));
    try {
      MemorySegment gateInput = Buffers.segment(jittered);
      Jitter.apply(hiddenStates, job.tokens(), layer.config().hiddenSize(), job.noise(), gateInput);
      return new Logits(layer.projection().gate(gateInput, job.tokens()), logits.coefficient());
    } finally {
      jittered.release();
    }
  }

  private void send(
      int batchIndex, Routed routed, MemorySegment hiddenStates, List<Replica> replicas) {
    Batch batch = routed.plan().batches().get(batchIndex);
    long rowBytes = (long) job.layer().config().hiddenSize() * FLOAT_BYTES;
    ExchangeRequest.Builder header = header(batch);
    ByteBuf rows = Buffers.allocate(Math.toIntExact(batch.rows() * rowBytes));
    RowGather.gather(routed.plan(), batch, hiddenStates, rowBytes, Buffers.segment(rows));
    rows = WireFloats.fromFp32(rows, settings.wireDtype());
    ExchangeStream stream = replicas.get(batch.host()).stream();
    long id = stream.send(header, rows, batch.rows(), new Reply(batchIndex, batch, routed));
    synchronized (lock) {
      if (!ended) {
        sent.add(new Sent(stream, id));
        return;
      }
    }
    stream.cancel(id);
  }

  private ExchangeRequest.Builder header(Batch batch) {
    long nanosLeft = job.deadlineNanos() - System.nanoTime();
    if (nanosLeft <= 0) {
      throw new GuildhallException(
          ErrorCode.DEADLINE_EXCEEDED,
          "layer %s: the deadline passed before the rows were sent".formatted(job.layer().name()));
    }
    return ExchangeRequest.newBuilder()
        .setLayer(job.layer().name())
        .setDtype(WireFloats.proto(settings.wireDtype()))
        .setTimeoutUs(Math.max(1, TimeUnit.NANOSECONDS.toMicros(nanosLeft)))
        .addAllExperts(Arrays.stream(batch.experts()).boxed().toList())
        .addAllRowCounts(Arrays.stream(batch.rowCounts()).boxed().toList());
  }

  private void received(int batchIndex, ByteBuf rows, Routed routed) {
    synchronized (lock) {
      if (ended) {
        rows.release();
        return;
      }
      blocks[batchIndex] = rows;
      if (--blocksMissing > 0) {
        return;
      }
    }
    execute(() -> combine(routed));
  }

  private void combine(Routed routed) {
    synchronized (lock) {
      if (ended) {
        return;
      }
      ended = true; // From here on this thread alone holds the buffers.
    }
    long fanOutNanos = System.nanoTime() - routed.atNanos();
    ByteBuf output;
    try {
      output = sum(routed);
    } catch (RuntimeException | OutOfMemoryError e) {
      releaseBuffers();
      listener.failed(e);
      return;
    }
    releaseBuffers();
    listener.succeeded(new ForwardResult(routed.routing(), fanOutNanos, output));
  }

  /** The layer's output, [tokens, H] fp32, owned by the caller. */
  private ByteBuf sum(Routed routed) {
    LayerConfig config = job.layer().config();
    Combine combine =
        config.useResidual()
            ? Combine.withResidual(
                routed.plan(),
                routed.routing().weight(),
                routed.logits().coefficient(),
                config.hiddenSize())
            : Combine.of(routed.plan(), routed.routing().weight(), config.hiddenSize());
    MemorySegment[] segments =
        Arrays.stream(blocks)
            .map(block -> Buffers.segment(requireNonNull(block)))
            .toArray(MemorySegment[]::new);
    ByteBuf output =
        Buffers.allocate(Math.multiplyExact(job.tokens(), config.hiddenSize() * FLOAT_BYTES));
    try {
      combine.sum(segments, Buffers.segment(output), 0, job.tokens());
      return output;
    } catch (RuntimeException e) {
      output.release();
      throw e;
    }
  }

  /** Ends the call with a failure, unless it has ended already. */
  void fail(Throwable failure) {
    List<Sent> toCancel;
    synchronized (lock) {
      if (ended) {
        return;
      }
      ended = true;
      toCancel = List.copyOf(sent);
    }
    toCancel.forEach(batch -> batch.stream().cancel(batch.batchId()));
    releaseBuffers();
    listener.failed(failure);
  }

  /** Called once, by whoever ended the call. */
  private void releaseBuffers() {
    Arrays.stream(blocks).filter(Objects::nonNull).forEach(ByteBuf::release);
    job.hiddenStates().release();
  }

  /** What a replica finds wrong with a batch is not the caller's fault: the router made it. */
  private static ErrorCode codeForCaller(ErrorCode code) {
    return switch (code) {
      case INVALID_ARGUMENT -> ErrorCode.INTERNAL;
      case NOT_FOUND -> ErrorCode.UNAVAILABLE;
      default -> code;
    };
  }

  private final class Reply implements BatchReply {
    private final int batchIndex;
    private final Batch batch;
    private final Routed routed;

    Reply(int batchIndex, Batch batch, Routed routed) {
      this.batchIndex = batchIndex;
      this.batch = batch;
      this.routed = routed;
    }

    @Override
    public void succeeded(ByteBuf rows) {
      ByteBuf fp32;
      try {
        fp32 = WireFloats.toFp32(rows, settings.wireDtype());
      } catch (RuntimeException | OutOfMemoryError e) {
        fail(e);
        return;
      }
      received(batchIndex, fp32, routed);
    }

    @Override
    public void failed(GuildhallException failure) {
      fail(
          new GuildhallException(
              codeForCaller(failure.code()),
              "layer %s, experts %s: %s"
                  .formatted(
                      job.layer().name(),
                      Arrays.stream(batch.experts())
                          .mapToObj(Integer::toString)
                          .collect(Collectors.joining(", ")),
                      failure.getMessage()),
              failure));
    }
  }
}
