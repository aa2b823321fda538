package dev.guildhall.router.replicas;

import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.TimeUnit;

/**
 * How a target has done lately, over all its connections, and whether it is ejected for that: it
 * then gets only what nobody else could do, for a second at first and twice as long each time it
 * relapses. Thread-safe; time is passed in, on the clock of {@link System#nanoTime}.
 */
final class TrackRecord {
  private static final int FAILURES = 5;

  /** A replica is slow when most of a window's batches took this many times as long as a peer's. */
  private static final int SLOWNESS = 5;

  /** Less is the noise of schedulers and collectors. */
  private static final long LEAST_SLOW_NANOS = TimeUnit.MILLISECONDS.toNanos(5);

  private static final long WINDOW_NANOS = TimeUnit.SECONDS.toNanos(1);
  private static final int WINDOW_BATCHES = 10;
  private static final double SLOW_SHARE = 0.8;
  private static final double NEWEST_SHARE = 1 / 16.0;
  private static final long FIRST_EJECTION_NANOS = TimeUnit.SECONDS.toNanos(1);
  private static final int MOST_DOUBLINGS = 6;

  private final String target;
  private int failures;
  private final Map<String, Double> meanNanos = new HashMap<>();
  private long windowStart;
  private int windowBatches;
  private int windowSlow;
  private int relapses;
  private volatile long ejectedUntil;
  private volatile boolean ejected;

  TrackRecord(String target) {
    this.target = target;
  }

  String target() {
    return target;
  }

  @Override
  public String toString() {
    return target;
  }

  boolean ejected(long now) {
    return ejected && now - ejectedUntil < 0;
  }

  /** Whether the last thing it did was right. */
  synchronized boolean lastWasRight() {
    return failures == 0;
  }

  /** How long its batches of a layer take, by a decaying mean; 0 until there was one. */
  synchronized double meanNanos(String layer) {
    return meanNanos.getOrDefault(layer, 0.0);
  }

  /**
   * It failed a batch, or its connection broke.
   *
   * @return whether it is ejected for it
   */
  synchronized boolean failed(long now) {
    failures++;
    return failures >= FAILURES && eject(now);
  }

  /** It answered a batch well. */
  synchronized void succeeded() {
    failures = 0;
  }

  /**
   * A batch took so long, or was taken from it after so long.
   *
   * @param peerNanos what batches of the layer take at the fastest replica of the same experts; 0
   *     if unknown
   * @return whether it is ejected for it
   */
  synchronized boolean took(String layer, long nanos, double peerNanos, long now) {
    meanNanos.merge(layer, (double) nanos, (mean, newest) -> mean + (newest - mean) * NEWEST_SHARE);
    if (windowBatches == 0) {
      windowStart = now;
    }
    windowBatches++;
    if (peerNanos > 0 && nanos > Math.max((double) LEAST_SLOW_NANOS, SLOWNESS * peerNanos)) {
      windowSlow++;
    }
    if (now - windowStart < WINDOW_NANOS || windowBatches < WINDOW_BATCHES) {
      return false;
    }
    boolean slow = windowSlow > SLOW_SHARE * windowBatches;
    windowBatches = 0;
    windowSlow = 0;
    if (slow) {
      return eject(now);
    }
    if (!ejected(now)) {
      relapses = Math.max(0, relapses - 1);
    }
    return false;
  }

  private boolean eject(long now) {
    if (ejected(now)) {
      return false;
    }
    ejectedUntil = now + (FIRST_EJECTION_NANOS << Math.min(relapses, MOST_DOUBLINGS));
    relapses++;
    ejected = true;
    return true;
  }
}
