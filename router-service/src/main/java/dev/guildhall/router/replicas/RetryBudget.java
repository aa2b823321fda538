package dev.guildhall.router.replicas;

import java.util.concurrent.atomic.AtomicLong;

/**
 * Bounds how much of the traffic is repeated, so that replicas that fail for want of room are not
 * sent more: every batch earns a share of a repetition, up to a reserve. Thread-safe.
 */
public final class RetryBudget {
  private static final int UNIT = 1000;

  private final long earnedPerBatch;
  private final long reserve;
  private final AtomicLong balance;

  /**
   * A budget that starts with its whole reserve.
   *
   * @param share repetitions a batch, in the long run
   * @param reserve repetitions that may come at once, as after the loss of a busy replica
   */
  public RetryBudget(double share, int reserve) {
    this.earnedPerBatch = Math.round(share * UNIT);
    this.reserve = (long) reserve * UNIT;
    this.balance = new AtomicLong(this.reserve);
  }

  /** A batch is sent for the first time. */
  void earn() {
    if (balance.get() < reserve) {
      balance.accumulateAndGet(earnedPerBatch, (now, earned) -> Math.min(reserve, now + earned));
    }
  }

  /** Takes one repetition; false if there is none left. */
  boolean spend() {
    long before = balance.getAndUpdate(now -> now >= UNIT ? now - UNIT : now);
    return before >= UNIT;
  }
}
