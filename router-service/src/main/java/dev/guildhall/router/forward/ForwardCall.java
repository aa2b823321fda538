package dev.guildhall.router.forward;

import static java.util.Objects.requireNonNull;

import dev.guildhall.error.ErrorCode;
import dev.guildhall.error.GuildhallException;
import dev.guildhall.repository.LayerConfig;
import dev.guildhall.repository.MissingExperts;
import dev.guildhall.router.combine.Combine;
import dev.guildhall.router.combine.DenseMix;
import dev.guildhall.router.dispatch.Batch;
import dev.guildhall.router.dispatch.Dispatch;
import dev.guildhall.router.dispatch.DispatchPlan;
import dev.guildhall.router.exchange.ReplicaTimes;
import dev.guildhall.router.gate.Jitter;
import dev.guildhall.router.gate.Routing;
import dev.guildhall.router.projection.Logits;
import dev.guildhall.router.replicas.Failover;
import dev.guildhall.router.replicas.LayerHosts;
import dev.guildhall.router.replicas.Replica;
import dev.guildhall.router.replicas.ReplicaPicker;
import dev.guildhall.rpc.Buffers;
import dev.guildhall.tracing.TraceSpan;
import io.netty.buffer.ByteBuf;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.Executor;
import java.util.concurrent.RejectedExecutionException;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * One request under way: projection, gate, dispatch, exchange, combine.
 *
 * <p>{@link #start} goes as far as the batches sent; the combine begins when the last one is back.
 * Between the two, replies, cancellation and the deadline come on any thread: the lock guards which
 * of them ends the call. Whoever ends it gives the buffers back and tells the listener.
 */
final class ForwardCall implements BatchCall.Owner {
  private static final int FLOAT_BYTES = Float.BYTES;
  private static final ReplicaTimes NO_TIMES = new ReplicaTimes(0, 0);

  /**
   * What the gate decided and dispatch made of it.
   *
   * @param chosen by the gate
   * @param routing of it, what has a host
   */
  private record Routed(
      Logits logits, Routing chosen, Routing routing, DispatchPlan plan, long atNanos) {}

  private final ForwardJob job;
  private final LayerHosts hosts;
  private final ExchangeSettings settings;
  private final Failover failover;
  private final Executor executor;
  private final ForwardListener listener;

  private final long createdNanos = System.nanoTime();

  private final Object lock = new Object();
  private List<BatchCall> calls = List.of();
  private @Nullable Routed routed;
  private @Nullable ByteBuf[] blocks = new ByteBuf[0];
  private boolean[] lost = new boolean[0];
  private int blocksMissing;
  private long longestQueueNanos;
  private long begunNanos;
  private long lastAnswerNanos;
  private @Nullable Replica lastReplica;
  private ReplicaTimes lastTimes = NO_TIMES;
  private boolean ended;

  /**
   * @param executor where the gate, the gather and the combine run
   */
  ForwardCall(
      ForwardJob job,
      LayerHosts hosts,
      ExchangeSettings settings,
      Failover failover,
      Executor executor,
      ForwardListener listener) {
    this.job = job;
    this.hosts = hosts;
    this.settings = settings;
    this.failover = failover;
    this.executor = executor;
    this.listener = listener;
  }

  /** Starts on the executor; never throws. */
  void start() {
    execute(() -> readHiddenStates(this::run));
  }

  private void execute(Runnable step) {
    try {
      executor.execute(step);
    } catch (RejectedExecutionException e) {
      failed(
          new GuildhallException(
              ErrorCode.UNAVAILABLE,
              "layer %s: the router is shutting down".formatted(job.layer().name()),
              e));
    }
  }

  /** Runs a step that whoever ends the call meanwhile must not free the hidden states of. */
  private void readHiddenStates(Consumer<MemorySegment> step) {
    synchronized (lock) {
      if (ended) {
        return; // While it waited for a worker.
      }
      job.hiddenStates().retain();
    }
    try {
      step.accept(Buffers.segment(job.hiddenStates()));
    } catch (RuntimeException | OutOfMemoryError e) {
      failed(e);
    } finally {
      job.hiddenStates().release();
    }
  }

  private void run(MemorySegment hiddenStates) {
    synchronized (lock) {
      begunNanos = System.nanoTime();
    }
    ReplicaPicker picker = new ReplicaPicker(hosts);
    Routed routed = gate(hiddenStates, picker);
    List<Batch> batches = routed.plan().batches();
    List<BatchCall> starting = new ArrayList<>(batches.size());
    for (int i = 0; i < batches.size(); i++) {
      starting.add(new BatchCall(job, routed.plan(), i, settings, failover, this));
    }
    synchronized (lock) {
      if (ended) {
        return;
      }
      this.routed = routed;
      calls = starting;
      blocksMissing = batches.size();
      blocks = new ByteBuf[blocksMissing];
      lost = new boolean[blocksMissing];
    }
    if (batches.isEmpty()) {
      combine(routed);
      return;
    }
    for (int i = 0; i < batches.size(); i++) {
      starting.get(i).start(picker.chosen().get(batches.get(i).host()), hiddenStates);
    }
  }

  private Routed gate(MemorySegment hiddenStates, ReplicaPicker picker) {
    TraceSpan span = job.trace().span().child("gate");
    try {
      Routed routed = route(hiddenStates, picker);
      span.tag("guildhall.batches", routed.plan().batches().size()).end();
      return routed;
    } catch (RuntimeException | OutOfMemoryError e) {
      span.fail(e);
      throw e;
    }
  }

  private Routed route(MemorySegment hiddenStates, ReplicaPicker picker) {
    LayerConfig config = job.layer().config();
    Logits logits = project(hiddenStates);
    Routing chosen =
        job.layer()
            .gate()
            .route(logits.gate(), job.tokens(), job.training(), job.usedTokens(), job.noise());
    Routing routing = hosted(chosen);
    DispatchPlan plan =
        Dispatch.plan(
            routing,
            config.hasDenseExpert(),
            settings.maxRows(config.hiddenSize()),
            picker::choose);
    return new Routed(logits, chosen, routing, plan, System.nanoTime());
  }

  /** The routes whose experts have a host, if the others are to be dropped. */
  private Routing hosted(Routing chosen) {
    if (job.missingExperts() == MissingExperts.FAIL || hosts.complete()) {
      return chosen;
    }
    List<Integer> missing = hosts.withoutHost();
    boolean[] lost = new boolean[chosen.expert().length];
    for (int i = 0; i < lost.length; i++) {
      lost[i] = missing.contains(chosen.expert()[i]);
    }
    return job.layer().gate().without(chosen, lost);
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
      return new Logits(layer.projection().gate(gateInput, job.tokens()), logits.mix());
    } finally {
      jittered.release();
    }
  }

  @Override
  public void answered(int batchIndex, ByteBuf rows, Replica replica, ReplicaTimes times) {
    synchronized (lock) {
      if (ended) {
        rows.release();
        return;
      }
      blocks[batchIndex] = rows;
      longestQueueNanos = Math.max(longestQueueNanos, times.queueNanos());
      lastAnswerNanos = System.nanoTime();
      lastReplica = replica;
      lastTimes = times;
    }
    batchDone();
  }

  @Override
  public void lost(int batchIndex, Throwable failure) {
    if (job.missingExperts() == MissingExperts.FAIL || hasDenseRows(batchIndex)) {
      failed(failure);
      return;
    }
    synchronized (lock) {
      lost[batchIndex] = true;
    }
    batchDone();
  }

  private boolean hasDenseRows(int batchIndex) {
    Routed routed;
    synchronized (lock) {
      routed = requireNonNull(this.routed);
    }
    int dense = job.layer().config().denseExpert();
    return Arrays.stream(routed.plan().batches().get(batchIndex).experts())
        .anyMatch(expert -> expert == dense);
  }

  private void batchDone() {
    Routed last;
    synchronized (lock) {
      if (ended || --blocksMissing > 0) {
        return;
      }
      last = requireNonNull(routed);
    }
    execute(() -> combine(last));
  }

  @Override
  public void repeat(BatchCall call, Replica replica) {
    execute(() -> readHiddenStates(hiddenStates -> call.send(replica, hiddenStates)));
  }

  private void combine(Routed routed) {
    synchronized (lock) {
      if (ended) {
        return;
      }
      ended = true; // From here on this thread alone holds the buffers.
    }
    long fanOutNanos = System.nanoTime() - routed.atNanos();
    Routed left;
    ByteBuf output;
    TraceSpan span = job.trace().span().child("combine");
    try {
      left = withoutLost(routed);
      output = sum(left);
    } catch (RuntimeException | OutOfMemoryError e) {
      span.fail(e);
      releaseBuffers();
      listener.failed(e);
      return;
    }
    span.end();
    releaseBuffers();
    listener.succeeded(
        new ForwardResult(
            left.routing(),
            LostRoutes.between(left.chosen(), left.routing()),
            fanOutNanos,
            longestQueueNanos,
            output));
  }

  /** What is left when batches were lost on the way. */
  private Routed withoutLost(Routed routed) {
    if (Arrays.stream(blocks).allMatch(Objects::nonNull)) {
      return routed;
    }
    DispatchPlan plan = routed.plan().without(lost);
    boolean[] lostRoutes = new boolean[plan.rowOfRoute().length];
    for (int i = 0; i < lostRoutes.length; i++) {
      lostRoutes[i] = plan.rowOfRoute()[i] == DispatchPlan.NO_ROW;
    }
    Routing routing = job.layer().gate().without(routed.routing(), lostRoutes);
    return new Routed(routed.logits(), routed.chosen(), routing, plan, routed.atNanos());
  }

  /** The layer's output, [tokens, H] fp32, owned by the caller. */
  private ByteBuf sum(Routed routed) {
    LayerConfig config = job.layer().config();
    Combine combine =
        config.hasDenseExpert()
            ? Combine.withDense(
                routed.plan(),
                routed.routing().weight(),
                mix(config, routed.logits()),
                config.hiddenSize())
            : Combine.of(routed.plan(), routed.routing().weight(), config.hiddenSize());
    MemorySegment[] segments =
        Arrays.stream(blocks)
            .map(block -> block == null ? MemorySegment.NULL : Buffers.segment(block))
            .toArray(MemorySegment[]::new);
    ByteBuf output =
        Buffers.allocate(Math.multiplyExact(job.tokens(), config.hiddenSize() * FLOAT_BYTES));
    try {
      combine.sum(segments, Buffers.segment(output));
      return output;
    } catch (RuntimeException e) {
      output.release();
      throw e;
    }
  }

  private DenseMix mix(LayerConfig config, Logits logits) {
    if (config.useResidual()) {
      return DenseMix.residual(logits.mix());
    }
    return config.weights().sharedExpertGate().isPresent()
        ? DenseMix.gated(logits.mix())
        : DenseMix.sum(job.tokens());
  }

  /** Ends the call with a failure, unless it has ended already. */
  @Override
  public void failed(Throwable failure) {
    List<BatchCall> toCancel;
    synchronized (lock) {
      if (ended) {
        return;
      }
      ended = true;
      toCancel = calls;
    }
    toCancel.forEach(BatchCall::cancel);
    releaseBuffers();
    listener.failed(failure);
  }

  /** Where the time went until now, to be asked when the call has ended. */
  TimeSplit timeSplit() {
    long now = System.nanoTime();
    synchronized (lock) {
      boolean begun = begunNanos != 0;
      boolean sent = routed != null;
      boolean allBack = sent && blocksMissing == 0;
      long sentNanos = routed == null ? now : routed.atNanos();
      long backNanos = lastReplica == null ? sentNanos : lastAnswerNanos;
      return new TimeSplit(
          (begun ? begunNanos : now) - createdNanos,
          begun ? sentNanos - begunNanos : TimeSplit.UNKNOWN,
          sent ? (allBack ? backNanos : now) - sentNanos : TimeSplit.UNKNOWN,
          lastReplica == null ? "" : lastReplica.target(),
          lastTimes,
          allBack ? now - backNanos : TimeSplit.UNKNOWN);
    }
  }

  /** Called once, by whoever ended the call. */
  private void releaseBuffers() {
    Arrays.stream(blocks).filter(Objects::nonNull).forEach(ByteBuf::release);
    job.hiddenStates().release();
  }
}
