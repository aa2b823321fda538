package dev.guildhall.router.forward;

import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.LongAdder;

/** What has become of the requests of each layer since the router started. Thread-safe. */
public final class ForwardStatistics {
  private final Map<String, Sums> byLayer = new ConcurrentHashMap<>();

  /**
   * The totals of one layer.
   *
   * @param lastMillis when the last request that succeeded was answered, since 1970; 0: none was
   * @param succeededNanos of all of them together
   * @param queueNanos of it, the longest wait of each at an expert service
   */
  public record Totals(
      long lastMillis,
      long tokens,
      long succeeded,
      long succeededNanos,
      long queueNanos,
      long failed,
      long failedNanos) {

    /** Of the time of those that succeeded, what is not waiting. */
    public long computeNanos() {
      return Math.max(0, succeededNanos - queueNanos);
    }
  }

  private static final class Sums {
    private volatile long lastMillis;
    private final LongAdder tokens = new LongAdder();
    private final LongAdder succeeded = new LongAdder();
    private final LongAdder succeededNanos = new LongAdder();
    private final LongAdder queueNanos = new LongAdder();
    private final LongAdder failed = new LongAdder();
    private final LongAdder failedNanos = new LongAdder();
  }

  void succeeded(String layer, int tokens, long nanos, long queueNanos) {
    Sums sums = sums(layer);
    sums.lastMillis = System.currentTimeMillis();
    sums.tokens.add(tokens);
    sums.succeeded.increment();
    sums.succeededNanos.add(nanos);
    sums.queueNanos.add(queueNanos);
  }

  void failed(String layer, long nanos) {
    Sums sums = sums(layer);
    sums.failed.increment();
    sums.failedNanos.add(nanos);
  }

  private Sums sums(String layer) {
    return byLayer.computeIfAbsent(layer, unknown -> new Sums());
  }

  /** The totals of a layer; zeros if it has had no request. */
  public Totals of(String layer) {
    Sums sums = byLayer.getOrDefault(layer, new Sums());
    return new Totals(
        sums.lastMillis,
        sums.tokens.sum(),
        sums.succeeded.sum(),
        sums.succeededNanos.sum(),
        sums.queueNanos.sum(),
        sums.failed.sum(),
        sums.failedNanos.sum());
  }
}
