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
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/**
 * One batch of a request at the experts: sent to a replica and, when that one fails it or takes
 * long, to another. The first answer counts, the others are given up.
 *
 * <p>Replies come on event loops, {@link #cancel} on any thread; the lock guards what is under way.
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

  private record Sent(ExchangeStream stream, long batchId) {
    /** Does nothing if it was answered. */
    void giveUp() {
      stream.cancel(batchId);
    }
  }

  private final ForwardJob job;
  private final DispatchPlan plan;
  private final int index;
  private final Batch batch;
  private final ExchangeSettings settings;
  private final Failover failover;
  private final Owner owner;

  // Guarded by this object's lock.
  private final Set<Replica> tried = new HashSet<>();
  private final List<Sent> underWay = new ArrayList<>();
  private @Nullable Future<?> hedge;
  private int unanswered;
  private boolean over;

  private volatile long firstSentNanos;

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
    boolean first;
    synchronized (this) {
      if (over) {
        return;
      }
      first = tried.isEmpty();
      tried.add(replica);
      unanswered++;
    }
    if (first) {
      firstSentNanos = System.nanoTime();
      failover.sent();
    }
    ExchangeRequest.Builder header = header();
    long rowBytes = (long) job.layer().config().hiddenSize() * Float.BYTES;
    ByteBuf rows = Buffers.allocate(Math.toIntExact(batch.rows() * rowBytes));
    RowGather.gather(plan, batch, hiddenStates, rowBytes, Buffers.segment(rows));
    rows = WireFloats.fromFp32(rows, settings.wireDtype());
    ExchangeStream stream = replica.stream();
    Sent sent = new Sent(stream, stream.send(header, rows, batch.rows(), new Reply()));
    if (isUnderWay(sent) && first) {
      hedgeLater();
    }
  }

  /** Notes what was sent, unless the batch is over meanwhile: then it is given up. */
  private boolean isUnderWay(Sent sent) {
    synchronized (this) {
      if (!over) {
        underWay.add(sent);
        return true;
      }
    }
    sent.giveUp();
    return false;
  }

  private void hedgeLater() {
    Optional<Future<?>> later =
        failover.afterLongWait(job.layer().name(), batch.experts(), tried(), this::askAnother);
    later.ifPresent(waiting -> {
      synchronized (this) {
        if (!over) {
          hedge = waiting;
          return;
        }
      }
      waiting.cancel(false);
    });
  }

  private void askAnother() {
    failover
        .hedge(job.layer().name(), batch.experts(), tried())
        .ifPresent(replica -> owner.repeat(this, replica));
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
    end();
  }

  /**
   * Ends the batch and gives up what is under way.
   *
   * @return false if it was over before
   */
  private boolean end() {
    List<Sent> left;
    Future<?> waiting;
    synchronized (this) {
      if (over) {
        return false;
      }
      over = true;
      left = List.copyOf(underWay);
      waiting = hedge;
    }
    if (waiting != null) {
      waiting.cancel(false);
    }
    left.forEach(Sent::giveUp);
    return true;
  }

  /** Whether no other attempt may still answer. */
  private synchronized boolean wasLast() {
    unanswered--;
    return unanswered == 0 && !over;
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
      boolean alone = tried().size() == 1;
      if (!end()) {
        fp32.release();
        return;
      }
      if (alone) {
        failover.took(job.layer().name(), System.nanoTime() - firstSentNanos);
      }
      owner.answered(index, fp32);
    }

    @Override
    public void failed(GuildhallException failure) {
      if (!wasLast()) {
        return;
      }
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
