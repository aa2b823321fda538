package dev.guildhall.cli.bench;

import org.HdrHistogram.Histogram;

/**
 * What a closed loop did in one round.
 *
 * @param requests finished
 * @param nanos the round took
 * @param latencyNanos of each request
 */
record Load(long requests, long nanos, Histogram latencyNanos) {
  private static final long LONGEST_NANOS = 60_000_000_000L;
  private static final int DIGITS = 3;

  static Histogram histogram() {
    return new Histogram(LONGEST_NANOS, DIGITS);
  }

  double requestsPerSecond() {
    return requests * 1e9 / nanos;
  }

  /**
   * A latency quantile in microseconds, corrected for coordinated omission: a request that took
   * longer than the median is taken to have held up others, one a median.
   */
  double micros(double percentile) {
    Histogram corrected =
        latencyNanos.copyCorrectedForCoordinatedOmission(latencyNanos.getValueAtPercentile(50));
    return corrected.getValueAtPercentile(percentile) / 1e3;
  }
}
