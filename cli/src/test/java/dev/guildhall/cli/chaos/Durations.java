package dev.guildhall.cli.chaos;

import java.time.Duration;

/**
 * How long and how often things happen in every row, all of it scaled by {@code -Dchaos.scale}: 0.1
 * tries a row quickly, 1 is what the table states.
 */
final class Durations {
  static final double SCALE = Double.parseDouble(System.getProperty("chaos.scale", "1"));

  /** Load before a fault, to know what is usual, and after it. */
  static final Duration CALM = scaled(20);

  /** New processes are slow for some seconds, whatever the scale. */
  static final Duration WARM_UP = Duration.ofSeconds(Math.max(5, Math.round(20 * SCALE)));

  static final int KILLS = Math.max(2, times(10));

  /** With one replica of two gone. */
  static final Duration KILLED = scaled(3);

  static final int REPLACEMENTS = times(50);
  static final Duration PAUSED = scaled(20);
  static final Duration SLOWED = scaled(30);
  static final Duration GARBAGE = scaled(10);
  static final Duration LOSSY = scaled(30);
  static final Duration PARTITIONED = scaled(30);

  /**
   * Longer than elsewhere, twice: what processes do that still compile themselves is no measure.
   */
  static final Duration OVERLOAD_WARM_UP = scaled(40);

  static final Duration PEAK = scaled(20);
  static final Duration OVERLOAD = scaled(60);
  static final int MALFORMED_FRAMES = times(100_000);
  static final int IDLE_CONNECTIONS = times(1_000);
  static final Duration IDLE = scaled(20);

  /** Minutes by {@code -Dchaos.soak.minutes}. */
  static final Duration SOAK =
      Duration.ofMillis(
          Math.round(
              Double.parseDouble(System.getProperty("chaos.soak.minutes", "30")) * 60_000 * SCALE));

  /** For whatever must happen but may take its time on a busy machine. */
  static final Duration PATIENCE = Duration.ofSeconds(60);

  private Durations() {}

  /** Keeps things as they are, where how long they are so is the point. */
  static void hold(Duration time) throws InterruptedException {
    Thread.sleep(time);
  }

  private static Duration scaled(double seconds) {
    return Duration.ofMillis(Math.round(seconds * 1000 * SCALE));
  }

  private static int times(int count) {
    return (int) Math.max(1, Math.round(count * SCALE));
  }
}
