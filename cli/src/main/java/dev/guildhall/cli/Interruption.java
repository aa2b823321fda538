package dev.guildhall.cli;

import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

/**
 * While this is open, a process that is told to end (SIGTERM, SIGINT) interrupts the thread that
 * opened it and waits until that has cleaned up.
 */
final class Interruption implements AutoCloseable {
  private static final long LIMIT_SECONDS = 25;

  private final CountDownLatch closed = new CountDownLatch(1);
  private final Thread hook;

  private Interruption(Thread worker) {
    hook = new Thread(() -> interrupt(worker), "guildhall-interruption");
  }

  static Interruption ofThisThread() {
    Interruption interruption = new Interruption(Thread.currentThread());
    Runtime.getRuntime().addShutdownHook(interruption.hook);
    return interruption;
  }

  private void interrupt(Thread worker) {
    worker.interrupt();
    try {
      // Whether or not it has, the process ends.
      var _ = closed.await(LIMIT_SECONDS, TimeUnit.SECONDS);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }

  @Override
  public void close() {
    closed.countDown();
    try {
      Runtime.getRuntime().removeShutdownHook(hook);
    } catch (IllegalStateException e) {
      // The process is ending: the hook runs, and has just been told.
    }
  }
}
