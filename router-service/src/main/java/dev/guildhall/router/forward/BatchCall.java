package dev.guildhall.router.forward;

import dev.guildhall.error.ErrorCode;
import dev.guildhall.error.GuildhallException;
import dev.guildhall.proto.ExchangeRequest;
import dev.guildhall.router.dispatch.Batch;
import dev.guildhall.router.dispatch.DispatchPlan;
import dev.guildhall.router.dispatch.RowGather;
import dev.guildhall.router.exchange.BatchReply;
import dev.guildhall.router.exchange.ExchangeStream;
import dev.guildhall.router.replicas.Failover;
import dev.guildhall.router.replicas.Replica;
import dev.guildhall.rpc.Buffers;
import dev.guildhall.rpc.WireFloats;
import io.netty.buffer.ByteBuf;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import java.util.HashSet;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/**
 * One batch of a request at the experts: sent to a replica and, when that one fails it, to another.
 *
 * <p>One attempt at a time. Replies come on event loops, {@link #cancel} on any thread; the lock
 * guards what is under way.
 */
final class BatchCall {

  /** Whose batch it is. */
  interface Owner {
    /**
     * The batch is done.
     *
     * @param rows [batch.rows, H] fp32; ownership is transferred
     */
    void answered(int batchIndex, ByteBuf rows);

    /** Asks for {@link #send} to be called again, where the hidden states may be read. */
    void repeat(BatchCall call, Replica replica);

    /** No replica did it. */
    void failed(Throwable failure);
  }

  private record Sent(ExchangeStream stream, long batchId) {}

  private final ForwardJob job;
  private final DispatchPlan plan;
  private final int index;
  private final Batch batch;
  private final ExchangeSettings settings;
  private final Failover failover;
  private final Owner owner;

  // Guarded by this object's lock.
  private final Set<Replica> tried = new HashSet<>();
  private @Nullable Sent sent;
  private boolean cancelled;

  /**
   * @param index of the batch in the plan
   */
  BatchCall(
      ForwardJob job,
      DispatchPlan plan,
      int index,
      ExchangeSettings settings,
      Failover failover,
      Owner owner) {
    this.job = job;
    this.plan = plan;
    this.index = index;
    this.batch = plan.batches().get(index);
    this.settings = settings;
    this.failover = failover;
    this.owner = owner;
  }

  /**
   * Gathers the rows and sends them.
   *
   * @param hiddenStates [tokens, H] fp32, read until this returns
   * @throws GuildhallException DEADLINE_EXCEEDED if it has passed
   */
  void send(Replica replica, MemorySegment hiddenStates) {
    synchronized (this) {
      if (cancelled) {
        return;
      }
      if (tried.isEmpty()) {
        failover.sent();
      }
      tried.add(replica);
    }
    ExchangeRequest.Builder header = header();
    long rowBytes = (long) job.layer().config().hiddenSize() * Float.BYTES;
    ByteBuf rows = Buffers.allocate(Math.toIntExact(batch.rows() * rowBytes));
    RowGather.gather(plan, batch, hiddenStates, rowBytes, Buffers.segment(rows));
    rows = WireFloats.fromFp32(rows, settings.wireDtype());
    ExchangeStream stream = replica.stream();
    Sent now = new Sent(stream, stream.send(header, rows, batch.rows(), new Reply()));
    synchronized (this) {
      sent = now;
      if (!cancelled) {
        return;
      }
    }
    stream.cancel(now.batchId());
  }

  private ExchangeRequest.Builder header() {
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

  /** The rows are not wanted any more; the owner hears nothing of them from here on. */
  void cancel() {
    Sent last;
    synchronized (this) {
      cancelled = true;
      last = sent;
    }
    if (last != null) {
      last.stream().cancel(last.batchId());
    }
  }

  private synchronized Set<Replica> tried() {
    return Set.copyOf(tried);
  }

  private GuildhallException forCaller(GuildhallException failure) {
    return new GuildhallException(
        codeForCaller(failure.code()),
        "layer %s, experts %s: %s"
            .formatted(
                job.layer().name(),
                Arrays.stream(batch.experts())
                    .mapToObj(Integer::toString)
                    .collect(Collectors.joining(", ")),
                failure.getMessage()),
        failure);
  }

  /** What a replica finds wrong with a batch is not the caller's fault: the router made it. */
  private static ErrorCode codeForCaller(ErrorCode code) {
    return switch (code) {
      case INVALID_ARGUMENT -> ErrorCode.INTERNAL;
      case NOT_FOUND -> ErrorCode.UNAVAILABLE;
      default -> code;
    };
  }

  /** Of one attempt. */
  private final class Reply implements BatchReply {
    @Override
    public void succeeded(ByteBuf rows) {
      ByteBuf fp32;
      try {
        fp32 = WireFloats.toFp32(rows, settings.wireDtype());
      } catch (RuntimeException | OutOfMemoryError e) {
        owner.failed(e);
        return;
      }
      owner.answered(index, fp32);
    }

    @Override
    public void failed(GuildhallException failure) {
      Optional<Replica> next =
          failover.next(job.layer().name(), batch.experts(), tried(), failure.code());
      if (next.isPresent()) {
        owner.repeat(BatchCall.this, next.get());
      } else {
        owner.failed(forCaller(failure));
      }
    }
  }
}
