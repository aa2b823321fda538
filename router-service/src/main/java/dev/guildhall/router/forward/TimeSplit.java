package dev.guildhall.router.forward;

import dev.guildhall.router.exchange.ReplicaTimes;
import java.util.Locale;
import java.util.concurrent.TimeUnit;

/**
 * Where the time of one request went, in nanoseconds; {@link #UNKNOWN} for what it did not come to.
 *
 * @param queueNanos it waited for a thread of the router
 * @param gateNanos projection, gate and dispatch
 * @param exchangeNanos from the first batch sent to the last one back
 * @param lastReplica to answer; empty: none did
 * @param lastTimes at that replica
 * @param combineNanos after the last batch was back
 */
record TimeSplit(
    long queueNanos,
    long gateNanos,
    long exchangeNanos,
    String lastReplica,
    ReplicaTimes lastTimes,
    long combineNanos) {
  static final long UNKNOWN = -1;

  /** For the log. */
  @Override
  public String toString() {
    StringBuilder text = new StringBuilder();
    add(text, "router queue", queueNanos);
    add(text, "gate", gateNanos);
    add(text, "exchange", exchangeNanos);
    if (!lastReplica.isEmpty()) {
      text.append(" (last ").append(lastReplica);
      add(text, "its queue", lastTimes.queueNanos());
      add(text, "its experts", lastTimes.workNanos());
      text.append(')');
    }
    add(text, "combine", combineNanos);
    return text.toString();
  }

  private static void add(StringBuilder text, String name, long nanos) {
    if (nanos == UNKNOWN) {
      return;
    }
    if (!text.isEmpty()) {
      text.append(", ");
    }
    text.append(name).append(' ').append(millis(nanos)).append(" ms");
  }

  /** With as many digits as tell something. */
  static String millis(long nanos) {
    return String.format(Locale.ROOT, "%.1f", (double) nanos / TimeUnit.MILLISECONDS.toNanos(1));
  }
}
