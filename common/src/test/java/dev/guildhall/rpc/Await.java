package dev.guildhall.rpc;

import java.util.concurrent.Callable;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import org.junit.jupiter.api.Assertions;

/** Waits for what can be observed, with a bound far beyond what it takes. */
public final class Await {
  private static final long LIMIT_SECONDS = 30;

  private Await() {}

  public static void until(String what, Callable<Boolean> condition) throws Exception {
    long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(LIMIT_SECONDS);
    while (!condition.call()) {
      if (System.nanoTime() - end > 0) {
        Assertions.fail("waited %d s for: %s".formatted(LIMIT_SECONDS, what));
      }
      LockSupport.parkNanos(1_000_000);
    }
  }
}
