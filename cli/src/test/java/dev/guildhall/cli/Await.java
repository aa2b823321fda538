package dev.guildhall.cli;

import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import java.util.function.BooleanSupplier;
import org.junit.jupiter.api.Assertions;

/** Waits for what can be observed, with a bound far beyond what it takes. */
final class Await {
  private static final long LIMIT_SECONDS = 30;

  private Await() {}

  static void until(String what, BooleanSupplier condition) {
    long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(LIMIT_SECONDS);
    while (!condition.getAsBoolean()) {
      if (System.nanoTime() - end > 0) {
        Assertions.fail("waited %d s for: %s".formatted(LIMIT_SECONDS, what));
      }
      LockSupport.parkNanos(1_000_000);
    }
  }
}
