package dev.guildhall.router.forward;

import dev.guildhall.error.ErrorCode;
import dev.guildhall.error.GuildhallException;
import dev.guildhall.proto.ExchangeRequest;
import dev.guildhall.repository.LayerVersion;
import dev.guildhall.router.dispatch.Batch;
import dev.guildhall.router.dispatch.DispatchPlan;
import dev.guildhall.router.dispatch.RowGather;
import dev.guildhall.router.exchange.BatchReply;
import dev.guildhall.router.exchange.ReplicaTimes;
import dev.guildhall.router.replicas.Failover;
import dev.guildhall.router.replicas.Replica;
import dev.guildhall.rpc.Buffers;
import dev.guildhall.rpc.TensorMethods;
import dev.guildhall.rpc.WireFloats;
import dev.guildhall.tensor.Floats;
import dev.guildhall.tracing.TraceContext;
import dev.guildhall.tracing.TraceSpan;
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
     * @param replica that did it
     * @param times there
     */
    void answered(int batchIndex, ByteBuf rows, Replica replica, ReplicaTimes times);

    /** Asks for {@link #send} to be called again, where the hidden states may be read. */
    void repeat(BatchCall call, Replica replica);

    /** No replica did it, or none could be asked. */
    void failed(Throwable failure);

    /** As {@link #failed}; and nobody else hosts some of the batch's experts. */
    void lost(int batchIndex, Throwable failure);
  }

  private record Sent(Replica replica, long batchId, long atNanos, TraceSpan span) {
    /** Does nothing if it was answered. */
    void giveUp() {
      replica.stream().cancel(batchId);
      span.giveUp();
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
  private boolean hedged;
  private boolean over;
  private int attempts;
  private TraceSpan firstSpan = TraceSpan.NONE;

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
   * Sends the batch for the first time.
   *
   * @param hiddenStates [tokens, H] fp32, read until this returns
   */
  void start(Replica replica, MemorySegment hiddenStates) {
    synchronized (this) {
      if (over) {
        return;
      }
      attempt(replica);
    }
    failover.sent(batch.rows());
    send(replica, hiddenStates);
    hedgeLater();
  }

  /** To be called with the lock held, as soon as a replica is chosen. */
  private void attempt(Replica replica) {
    tried.add(replica);
    unanswered++;
  }

  /**
   * Gathers the rows and sends them to a replica that was chosen for them.
   *
   * @param hiddenStates as of {@link #start}
   */
  void send(Replica replica, MemorySegment hiddenStates) {
    TraceSpan span = dispatch(replica);
    try {
      ExchangeRequest.Builder header = header();
      if (span.isRecording()) {
        TraceContext context = span.context();
        header.setTraceparent(context.traceparent()).setTracestate(context.tracestate());
      }
      long rowBytes = (long) job.layer().config().hiddenSize() * Float.BYTES;
      ByteBuf rows = Buffers.allocate(Math.toIntExact(batch.rows() * rowBytes));
      RowGather.gather(plan, batch, hiddenStates, rowBytes, Buffers.segment(rows));
      rows = WireFloats.fromFp32(rows, settings.wireDtype());
      long now = System.nanoTime();
      Reply reply = new Reply(replica, now, span);
      keep(new Sent(replica, replica.stream().send(header, rows, batch.rows(), reply), now, span));
    } catch (RuntimeException | OutOfMemoryError e) {
      span.fail(e);
      attemptLost(e);
    }
  }

  /** Begins the span of one attempt; a later one links to the first. */
  private TraceSpan dispatch(Replica replica) {
    TraceSpan request = job.trace().span();
    if (!request.isRecording()) {
      return TraceSpan.NONE;
    }
    synchronized (this) {
      TraceSpan span =
          request
              .call("dispatch", TensorMethods.EXCHANGE_NAME, firstSpan)
              .tag("guildhall.layer", job.layer().name())
              .tag("guildhall.replica", replica.target())
              .tag("guildhall.attempt", ++attempts)
              .tag("guildhall.rows", batch.rows())
              .tag("guildhall.experts", Arrays.toString(batch.experts()));
      if (unanswered > 1) {
        span.tag("guildhall.hedge", true);
      }
      if (attempts == 1) {
        firstSpan = span;
      }
      return span;
    }
  }

  /** Notes what was sent, or gives it up if the batch is over meanwhile. */
  private void keep(Sent sent) {
    synchronized (this) {
      if (!over) {
        underWay.add(sent);
        return;
      }
    }
    sent.giveUp();
  }

  private void hedgeLater() {
    Optional<Future<?>> later =
        failover.afterLongWait(job.layer().version(), batch.experts(), tried(), this::askAnother);
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
    Optional<Replica> other;
    synchronized (this) {
      if (over) {
        return;
      }
      other = failover.hedge(job.layer().version(), batch.experts(), batch.rows(), tried);
      other.ifPresent(this::attempt);
      hedged |= other.isPresent();
    }
    other.ifPresent(replica -> owner.repeat(this, replica));
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
        .setDigest(job.layer().version().digest())
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
   * @return what was under way; empty if it was over before
   */
  private Optional<List<Sent>> end() {
    List<Sent> left;
    Future<?> waiting;
    synchronized (this) {
      if (over) {
        return Optional.empty();
      }
      over = true;
      left = List.copyOf(underWay);
      waiting = hedge;
    }
    if (waiting != null) {
      waiting.cancel(false);
    }
    left.forEach(Sent::giveUp);
    return Optional.of(left);
  }

  /** An attempt came to nothing here; others may be under way. */
  private void attemptLost(Throwable failure) {
    synchronized (this) {
      unanswered--;
      if (unanswered > 0 || over) {
        return;
      }
    }
    endBy(() -> owner.failed(failure));
  }

  private void attemptFailed(Replica replica, GuildhallException failure) {
    failover.failed(replica, failure.code());
    Optional<Replica> next;
    synchronized (this) {
      underWay.removeIf(sent -> sent.replica().equals(replica));
      unanswered--;
      if (unanswered > 0 || over) {
        return;
      }
      next =
          failover.next(
              job.layer().version(), batch.experts(), batch.rows(), tried, failure.code());
      next.ifPresent(this::attempt);
    }
    if (next.isPresent()) {
      owner.repeat(this, next.get());
      return;
    }
    GuildhallException told = forCaller(failure);
    boolean lost =
        told.code() == ErrorCode.UNAVAILABLE
            && failover.nobodyElseHosts(job.layer().version(), batch.experts(), tried());
    endBy(() -> {
      if (lost) {
        owner.lost(index, told);
      } else {
        owner.failed(told);
      }
    });
  }

  /** Tells the owner, unless it was told something before. */
  private void endBy(Runnable telling) {
    if (end().isPresent()) {
      telling.run();
    }
  }

  private synchronized boolean wasHedged() {
    return hedged;
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
      case NOT_FOUND, UNAUTHENTICATED, CANCELLED -> ErrorCode.UNAVAILABLE;
      default -> code;
    };
  }

  /** Of one attempt. */
  private final class Reply implements BatchReply {
    private final Replica replica;
    private final long sentNanos;
    private final TraceSpan span;

    Reply(Replica replica, long sentNanos, TraceSpan span) {
      this.replica = replica;
      this.sentNanos = sentNanos;
      this.span = span;
    }

    @Override
    public void succeeded(ByteBuf rows, ReplicaTimes times) {
      ByteBuf fp32;
      try {
        fp32 = WireFloats.toFp32(rows, settings.wireDtype());
      } catch (RuntimeException | OutOfMemoryError e) {
        span.fail(e);
        attemptLost(e);
        return;
      }
      // Hidden states were finite: a replica that makes them anything else is not to be trusted.
      long wrong = Floats.firstNonFinite(Buffers.segment(fp32), fp32.readableBytes() / Float.BYTES);
      if (wrong >= 0) {
        fp32.release();
        failed(
            new GuildhallException(
                ErrorCode.INTERNAL,
                "a replica answered with a number that is not finite at element " + wrong));
        return;
      }
      span.end(); // Before all that were sent are given up.
      Optional<List<Sent>> underWay = end();
      if (underWay.isEmpty()) {
        fp32.release();
        return;
      }
      tellTimes(underWay.get());
      owner.answered(index, fp32, replica, times);
    }

    private void tellTimes(List<Sent> underWay) {
      LayerVersion layer = job.layer().version();
      long now = System.nanoTime();
      failover.answered(layer, batch.experts(), replica, now - sentNanos);
      if (wasHedged()) {
        failover.tookTwo(layer);
      } else if (tried().size() == 1) {
        failover.tookOne(layer, now - sentNanos);
      }
      for (Sent sent : underWay) {
        if (!sent.replica().equals(replica)) {
          failover.beaten(layer, batch.experts(), sent.replica(), now - sent.atNanos());
        }
      }
    }

    @Override
    public void failed(GuildhallException failure) {
      span.fail(failure);
      attemptFailed(replica, failure);
    }
  }
}
