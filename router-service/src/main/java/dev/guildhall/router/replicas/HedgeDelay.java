package dev.guildhall.router.replicas;

import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.HdrHistogram.Recorder;

/**
 * How long a batch waits before a second replica is asked too ("The Tail at Scale", Dean and
 * Barroso): the 99th percentile of a layer's recent batches, so that about one in a hundred is sent
 * twice. Thread-safe.
 */
final class HedgeDelay {
  private static final int FIRST_WINDOW = 16;
  private static final int LARGEST_WINDOW = 256;
  private static final int DIGITS = 2;
  private static final double PERCENTILE = 99;
  private static final double BEYOND = 1.1;
  private static final long LEAST_NANOS = TimeUnit.MILLISECONDS.toNanos(10);

  /** Until a window of batches is known. */
  private static final long FIRST_NANOS = TimeUnit.SECONDS.toNanos(1);

  private final Recorder recent = new Recorder(DIGITS);
  private final AtomicInteger recorded = new AtomicInteger();
  private volatile int window = FIRST_WINDOW;
  private volatile long nanos = FIRST_NANOS;

  long nanos() {
    return nanos;
  }

  /** Takes in how long a batch took that one replica was asked for. */
  void took(long batchNanos) {
    record(batchNanos);
  }

  /**
   * Takes in a batch that a second replica was asked for too. How long the first one would have
   * taken is not known: it counts as little more than the delay, so that neither slow replicas make
   * that grow without end nor the ones left out make it shrink.
   */
  void exceeded() {
    record((long) (BEYOND * nanos));
  }

  private void record(long batchNanos) {
    recent.recordValue(Math.max(0, batchNanos));
    // One thread fills the window; few batches tell little, but more than none.
    if (recorded.incrementAndGet() == window) {
      nanos = Math.max(LEAST_NANOS, recent.getIntervalHistogram().getValueAtPercentile(PERCENTILE));
      window = Math.min(2 * window, LARGEST_WINDOW);
      recorded.set(0);
    }
  }
}
