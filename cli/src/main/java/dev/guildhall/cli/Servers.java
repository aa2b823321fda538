package dev.guildhall.cli;

import java.util.concurrent.CompletableFuture;

/** What server commands have in common: saying that they are ready, and waiting for the end. */
final class Servers {
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
   * closed what it opened.
   */
  static CompletableFuture<Void> stopSignal() {
    CompletableFuture<Void> stop = new CompletableFuture<>();
    Thread main = Thread.currentThread();
    Runtime.getRuntime()
        .addShutdownHook(
            new Thread(
                () -> {
                  stop.complete(null);
                  joinQuietly(main);
                },
                "guildhall-stop"));
    return stop;
  }

  private static void joinQuietly(Thread main) {
    try {
      main.join(15_000);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }
}
