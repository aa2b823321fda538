package dev.guildhall.cli;

import java.util.concurrent.CompletableFuture;
import java.util.concurrent.atomic.AtomicBoolean;

/** What server commands have in common: saying that they are ready, and waiting for the end. */
final class Servers {
  /** More than the grace of a server and of its workers, less than the 30 s of Kubernetes. */
  private static final long STOP_MILLIS = 25_000;

  private static final AtomicBoolean STOPPING = new AtomicBoolean();

  private Servers() {}

  /** Event loops of a process: they only move bytes, so one carries a small machine. */
  static int ioThreads() {
    return Math.max(1, Runtime.getRuntime().availableProcessors() / 4);
  }

  /** The line that scripts wait for. */
  static void ready(String ports) {
    System.out.println("ready " + ports);
  }

  /**
   * Completes when SIGTERM or SIGINT has come; the JVM then waits until the calling thread has
   * closed what it opened and calls {@link #exit}.
   */
  static CompletableFuture<Void> stopSignal() {
    CompletableFuture<Void> stop = new CompletableFuture<>();
    Thread main = Thread.currentThread();
    Runtime.getRuntime()
        .addShutdownHook(
            new Thread(
                () -> {
                  STOPPING.set(true);
                  stop.complete(null);
                  joinQuietly(main);
                },
                "guildhall-stop"));
    return stop;
  }

  /**
   * Ends the process with this exit code. After a stop signal {@link System#exit} would wait for
   * the hook that waits for its caller, and the code would be the signal's.
   */
  static void exit(int code) {
    if (STOPPING.get()) {
      Runtime.getRuntime().halt(code);
    }
    System.exit(code);
  }

  private static void joinQuietly(Thread main) {
    try {
      main.join(STOP_MILLIS);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }
}
