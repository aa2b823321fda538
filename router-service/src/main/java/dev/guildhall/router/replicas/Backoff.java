package dev.guildhall.router.replicas;

import java.time.Duration;
import java.util.random.RandomGenerator;

/** Growing pauses between attempts, with jitter so that many routers do not come at once. */
final class Backoff {
  private static final long FIRST_MILLIS = 50;
  private static final long LONGEST_MILLIS = 2_000;
  private static final double GROWTH = 1.6;

  private final RandomGenerator random;
  private double nextMillis = FIRST_MILLIS;

  Backoff(RandomGenerator random) {
    this.random = random;
  }

  /** The next pause. */
  Duration next() {
    double millis = nextMillis * random.nextDouble(0.8, 1.2);
    nextMillis = Math.min(nextMillis * GROWTH, LONGEST_MILLIS);
    return Duration.ofMillis(Math.round(millis));
  }

  /** After a success. */
  void reset() {
    nextMillis = FIRST_MILLIS;
  }
}
