package dev.guildhall.cli.chaos;

import dev.guildhall.proto.ForwardRequest;
import dev.guildhall.proto.ForwardResponse;
import dev.guildhall.proto.MoeLayerServiceGrpc;
import io.grpc.ManagedChannel;
import io.grpc.Status;
import io.grpc.netty.NettyChannelBuilder;
import io.grpc.stub.StreamObserver;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import org.HdrHistogram.Histogram;

/**
 * Requests that several clients offer for a while, whether or not earlier ones are answered:
 * goodput is what is answered within its deadline.
 */
final class Offer {
  private static final int CLIENTS = 4;
  private static final Duration DEADLINE = Duration.ofSeconds(2);
  private static final long LONGEST_NANOS = TimeUnit.MINUTES.toNanos(5);

  /** What became of the requests, by status: how long each took. */
  record Outcome(double seconds, long offered, Map<Status.Code, Histogram> nanos) {
    long count(Status.Code code) {
      Histogram found = nanos.get(code);
      return found == null ? 0 : found.getTotalCount();
    }

    double perSecond() {
      return count(Status.Code.OK) / seconds;
    }

    double millis(Status.Code code, double percentile) {
      Histogram found = nanos.get(code);
      return found == null ? 0 : found.getValueAtPercentile(percentile) / 1e6;
    }
  }

  private final List<ManagedChannel> channels = new ArrayList<>();
  private final ForwardRequest request;
  private final long startNanos = System.nanoTime();
  private final Map<Status.Code, Histogram> nanos = new TreeMap<>();
  private long offered;

  private Offer(String target, ForwardRequest request) {
    this.request = request;
    for (int client = 0; client < CLIENTS; client++) {
      // Counting answers takes no thread of its own.
      channels.add(NettyChannelBuilder.forTarget(target).usePlaintext().directExecutor().build());
    }
  }

  /** So many requests in flight at any time. */
  static Outcome closed(String target, ForwardRequest request, int inFlight, Duration time)
      throws InterruptedException {
    Offer offer = new Offer(target, request);
    Semaphore free = new Semaphore(inFlight);
    long end = offer.startNanos + time.toNanos();
    while (System.nanoTime() < end) {
      if (free.tryAcquire(100, TimeUnit.MILLISECONDS)) {
        offer.ask(free);
      }
    }
    return offer.outcome();
  }

  /** At a rate that nothing slows down. */
  static Outcome open(String target, ForwardRequest request, double perSecond, Duration time)
      throws InterruptedException {
    Offer offer = new Offer(target, request);
    Semaphore unbounded = new Semaphore(0);
    long requests = Math.round(perSecond * time.toNanos() / 1e9);
    for (long number = 0; number < requests; number++) {
      long due = offer.startNanos + Math.round(number * 1e9 / perSecond);
      for (long left = due - System.nanoTime(); left > 0; left = due - System.nanoTime()) {
        LockSupport.parkNanos(left);
      }
      offer.ask(unbounded);
    }
    return offer.outcome();
  }

  private void ask(Semaphore done) {
    ManagedChannel channel = channels.get((int) (offered++ % CLIENTS));
    long sent = System.nanoTime();
    MoeLayerServiceGrpc.newStub(channel)
        .withDeadlineAfter(DEADLINE.toMillis(), TimeUnit.MILLISECONDS)
        .forward(
            request,
            new StreamObserver<>() {
              @Override
              public void onNext(ForwardResponse answer) {
                // The end counts.
              }

              @Override
              public void onError(Throwable failure) {
                ended(Status.fromThrowable(failure).getCode());
              }

              @Override
              public void onCompleted() {
                ended(Status.Code.OK);
              }

              private void ended(Status.Code code) {
                took(code, System.nanoTime() - sent);
                done.release();
              }
            });
  }

  private synchronized void took(Status.Code code, long answerNanos) {
    nanos
        .computeIfAbsent(code, key -> new Histogram(LONGEST_NANOS, 3))
        .recordValue(Math.min(answerNanos, LONGEST_NANOS));
  }

  /** Counts what ends while it is offered; the rest is waited for and not counted. */
  private Outcome outcome() throws InterruptedException {
    double seconds = (System.nanoTime() - startNanos) / 1e9;
    Map<Status.Code, Histogram> counted = new TreeMap<>();
    synchronized (this) {
      nanos.forEach((code, histogram) -> counted.put(code, histogram.copy()));
    }
    for (ManagedChannel channel : channels) {
      channel.shutdown();
    }
    for (ManagedChannel channel : channels) {
      if (!channel.awaitTermination(DEADLINE.toSeconds() + 5, TimeUnit.SECONDS)) {
        channel.shutdownNow();
      }
    }
    return new Outcome(seconds, offered, counted);
  }
}
