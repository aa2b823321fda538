package dev.guildhall.router.forward;

import dev.guildhall.error.ErrorCode;
import dev.guildhall.error.GuildhallException;
import dev.guildhall.router.admission.AdaptiveLimit;
import dev.guildhall.router.admission.TokenBudget;
import dev.guildhall.router.replicas.Failover;
import dev.guildhall.router.replicas.RoutingTable;
import dev.guildhall.tracing.RequestTrace;
import dev.guildhall.tracing.TraceContext;
import java.util.concurrent.Executor;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.TimeUnit;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/**
 * Takes requests in and sends each its way: admission, the deadline, where it computes, what it
 * leaves in the metrics. Thread-safe; {@link #start} does not block.
 */
public final class LayerForward {
  /** Below this a hop to another thread costs more than the gate, the gather and the combine. */
  private static final int INLINE_BYTES = 64 << 10;

  private final Supplier<RoutingTable> routes;
  private final AdaptiveLimit limit;
  private final TokenBudget budget;
  private final ExchangeSettings settings;
  private final Failover failover;
  private final ScheduledExecutorService timer;
  private final Executor workers;
  private final ForwardWatch watch;

  /**
   * @param maxTokensInFlight requests are refused beyond them, or sooner when the experts' queues
   *     are long
   * @param timer runs deadlines
   * @param workers compute large requests, so that event loops stay free
   */
  public LayerForward(
      Supplier<RoutingTable> routes,
      long maxTokensInFlight,
      ExchangeSettings settings,
      Failover failover,
      ScheduledExecutorService timer,
      Executor workers,
      ForwardWatch watch) {
    this.routes = routes;
    this.limit = new AdaptiveLimit(maxTokensInFlight, System.nanoTime());
    this.budget = new TokenBudget(maxTokensInFlight, limit::tokens);
    this.settings = settings;
    this.failover = failover;
    this.timer = timer;
    this.workers = workers;
    this.watch = watch;
  }

  /**
   * Begins the trace of a request; to be ended by whoever tells the caller how the request ended.
   *
   * @param name of the method that was called
   * @param caller its span
   * @param requestId as the caller chose it; empty: it did not
   */
  public RequestTrace trace(String name, TraceContext caller, String requestId) {
    return new RequestTrace(requestId, watch.tracing().request(name, caller));
  }

  /** The same of a method of gRPC. */
  public RequestTrace grpcTrace(String method, TraceContext caller, String requestId) {
    RequestTrace trace = trace(method, caller, requestId);
    trace.span().grpc(method);
    return trace;
  }

  /** Counts a request that ends without having been started. */
  public void refused(Throwable failure) {
    watch.metrics().refused(failure);
  }

  /**
   * Makes a request's job and starts it.
   *
   * @param job throws if the request is not right, which the listener is told then
   */
  public Runnable start(Supplier<ForwardJob> job, ForwardListener listener) {
    ForwardJob made;
    try {
      made = job.get();
    } catch (RuntimeException | OutOfMemoryError e) {
      refused(e);
      listener.failed(e);
      return () -> {};
    }
    return start(made, listener);
  }

  /**
   * Starts a request; it ends with the listener being told, at the latest when its deadline passes.
   *
   * @param job its hidden states and its use of the layer are given back whatever happens
   * @return gives the request up when it is run: what waits for it is cancelled, and the listener
   *     hears CANCELLED
   */
  public Runnable start(ForwardJob job, ForwardListener listener) {
    String layer = job.layer().name();
    job.trace().span().tag("guildhall.layer", layer).tag("guildhall.tokens", job.tokens());
    ForwardListener observed = watch.metrics().observe(job, listener);
    try {
      admit(job);
    } catch (GuildhallException e) {
      job.hiddenStates().release();
      job.layer().uses().release();
      observed.failed(e);
      return () -> {};
    }
    int bytes = job.hiddenStates().readableBytes();
    Executor executor = bytes <= INLINE_BYTES ? Runnable::run : workers;
    Admitted admitted = new Admitted(job, observed);
    ForwardCall call =
        new ForwardCall(
            job, routes.get().layer(job.layer().version()), settings, failover, executor, admitted);
    admitted.call = call;
    admitted.deadline =
        timer.schedule(
            () -> call.failed(deadlinePassed(layer)),
            job.deadlineNanos() - System.nanoTime(),
            TimeUnit.NANOSECONDS);
    call.start();
    return () ->
        call.failed(new GuildhallException(ErrorCode.CANCELLED, "the caller gave the request up"));
  }

  /** Tokens of the requests that have been let in and not answered yet. */
  public long tokensInFlight() {
    return budget.inFlight();
  }

  /** Tokens that may be in flight now. */
  public long tokensAllowed() {
    return limit.tokens();
  }

  /**
   * Looks whether a request that has not been read yet would be refused, whatever it brings.
   *
   * @throws GuildhallException RESOURCE_EXHAUSTED if so; it is counted as an answer
   */
  public void checkRoom() {
    try {
      budget.check();
    } catch (GuildhallException e) {
      refused(e);
      throw e;
    }
  }

  /** Within the caller's limit and within the router's. */
  private void admit(ForwardJob job) {
    job.caller().acquire(job.tokens());
    try {
      budget.acquire(job.tokens());
    } catch (GuildhallException e) {
      job.caller().release(job.tokens());
      throw e;
    }
  }

  private static GuildhallException deadlinePassed(String layer) {
    return new GuildhallException(
        ErrorCode.DEADLINE_EXCEEDED,
        "layer %s: the experts did not answer before the deadline".formatted(layer));
  }

  /** Gives back what admission took, before the listener is told. */
  private final class Admitted implements ForwardListener {
    private final ForwardJob job;
    private final long startNanos = System.nanoTime();
    private final ForwardListener listener;
    private volatile @Nullable ScheduledFuture<?> deadline;
    private volatile @Nullable ForwardCall call;

    Admitted(ForwardJob job, ForwardListener listener) {
      this.job = job;
      this.listener = listener;
    }

    @Override
    public void succeeded(ForwardResult result) {
      long workNanos = Math.max(0, result.fanOutNanos() - result.queueNanos());
      limit.answered(sample(), result.queueNanos(), workNanos, System.nanoTime());
      giveBack();
      lookAtTime(null);
      listener.succeeded(result);
    }

    @Override
    public void failed(Throwable failure) {
      if (failure instanceof GuildhallException known) {
        learn(known.code());
      }
      giveBack();
      lookAtTime(failure);
      listener.failed(failure);
    }

    private void lookAtTime(@Nullable Throwable failure) {
      ForwardCall ended = call;
      if (ended != null) {
        watch.slow().ended(job, System.nanoTime() - startNanos, failure, ended::timeSplit);
      }
    }

    private void learn(ErrorCode failure) {
      if (failure == ErrorCode.DEADLINE_EXCEEDED) {
        limit.expired(sample(), System.nanoTime());
      } else if (failure == ErrorCode.RESOURCE_EXHAUSTED) {
        limit.refused(sample(), System.nanoTime());
      }
    }

    private AdaptiveLimit.Sample sample() {
      return new AdaptiveLimit.Sample(
          startNanos, job.deadlineNanos() - startNanos, budget.inFlight());
    }

    private void giveBack() {
      ScheduledFuture<?> timeout = deadline;
      if (timeout != null) {
        timeout.cancel(false);
      }
      budget.release(job.tokens());
      job.caller().release(job.tokens());
      job.layer().uses().release();
    }
  }
}
