package dev.guildhall.router.replicas;

import java.util.concurrent.atomic.AtomicLong;

/**
 * Bounds how many of the rows are sent again, so that replicas that fail for want of room are not
 * sent more: every row earns a share of a repetition, up to a reserve. Half of the reserve is for
 * failures alone. Thread-safe.
 */
public final class RetryBudget {
  private static final int UNIT = 1000;

  private final long earnedPerRow;
  private final long reserve;
  private final AtomicLong balance;

  /**
   * A budget that starts with its whole reserve.
   *
   * @param share rows sent again a row, in the long run
   * @param reserve rows that may be sent again at once, as after the loss of a busy replica
   */
  public RetryBudget(double share, int reserve) {
    this.earnedPerRow = Math.round(share * UNIT);
    this.reserve = (long) reserve * UNIT;
    this.balance = new AtomicLong(this.reserve);
  }

  /** Rows are sent for the first time. */
  void earn(int rows) {
    if (balance.get() < reserve) {
      long earned = earnedPerRow * rows;
      balance.accumulateAndGet(earned, (now, more) -> Math.min(reserve, now + more));
    }
  }

  /** Pays for rows that a replica failed; false if there is not enough left. */
  boolean spend(int rows) {
    return spend(rows, 0);
  }

  /**
   * Pays for rows that a replica may yet answer; false if too little would be left for failures.
   */
  boolean spendSpare(int rows) {
    return spend(rows, reserve / 2);
  }

  private boolean spend(int rows, long floor) {
    long price = (long) rows * UNIT;
    long before = balance.getAndUpdate(now -> now - price >= floor ? now - price : now);
    return before - price >= floor;
  }
}
