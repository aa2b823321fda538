package dev.guildhall.repository;

import java.util.concurrent.atomic.AtomicInteger;

/**
 * Counts the users of something that ends once its owner has let go of it and the last user is
 * done. Thread-safe.
 */
public final class Uses {
  private final AtomicInteger count = new AtomicInteger(1);
  private final Runnable end;

  /**
   * The owner's use, to be released like the others.
   *
   * @param end run once, by whoever releases the last use
   */
  public Uses(Runnable end) {
    this.end = end;
  }

  /** One more user; false if it has ended. */
  public boolean acquire() {
    return count.getAndUpdate(users -> users == 0 ? 0 : users + 1) > 0;
  }

  /** One user less. */
  public void release() {
    int left = count.decrementAndGet();
    if (left == 0) {
      end.run();
    } else if (left < 0) {
      throw new IllegalStateException("released more often than acquired");
    }
  }
}
