package dev.guildhall.cli.chaos;

import dev.guildhall.cli.CommandProcess;
import java.time.Duration;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;

/** Lets a process run for a fiftieth of the time, in slices, which makes it that much slower. */
final class DutyCycle {
  private static final long RUN_NANOS = TimeUnit.MILLISECONDS.toNanos(2);
  private static final long STOP_NANOS = TimeUnit.MILLISECONDS.toNanos(98);

  private DutyCycle() {}

  /** Returns after this time, with the process running on. */
  static void impose(CommandProcess process, Duration time) {
    long end = System.nanoTime() + time.toNanos();
    while (System.nanoTime() < end) {
      Signals.send(process.pid(), Signals.STOP);
      pass(STOP_NANOS);
      Signals.send(process.pid(), Signals.CONTINUE);
      pass(RUN_NANOS);
    }
  }

  private static void pass(long nanos) {
    long end = System.nanoTime() + nanos;
    for (long left = nanos; left > 0; left = end - System.nanoTime()) {
      LockSupport.parkNanos(left);
    }
  }
}
