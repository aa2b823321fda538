package dev.guildhall.cli.bench;

import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.util.List;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.Consumer;

/**
 * Loads and rests in turn until the compilers of all JVMs have little left to do. While they are at
 * it on the same few processors, they are what is measured.
 */
final class WarmUp {
  private static final String COMPILED = "jvm_compilation_time_ms_total";
  private static final long REST_MILLIS = 250;

  /** Of the time, over all JVMs, below which the compilers are taken to be done. */
  private static final double DONE_SHARE = 0.02;

  private final List<ServiceProcess> processes;
  private final Consumer<String> progress;

  /**
   * @param processes whose compilers count, beside this one's
   */
  WarmUp(List<ServiceProcess> processes, Consumer<String> progress) {
    this.processes = processes;
    this.progress = progress;
  }

  /** What makes code hot; takes a few seconds. */
  interface Work {
    void run() throws InterruptedException, ExecutionException, TimeoutException;
  }

  /** Goes on for some seconds at most. */
  void run(Work work, int maxSeconds)
      throws InterruptedException, ExecutionException, TimeoutException, IOException {
    long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(maxSeconds);
    double share = 1;
    while (share > DONE_SHARE && System.nanoTime() < end) {
      long start = System.nanoTime();
      double before = compiledMillis();
      work.run();
      rest(end);
      double millis = TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - start);
      share = (compiledMillis() - before) / millis;
      progress.accept("warming up: compilers busy %.0f %%".formatted(100 * share));
    }
  }

  /** Leaves the processors to the compilers until these have done what is queued. */
  private void rest(long end) throws InterruptedException, IOException {
    double compiled;
    do {
      double before = compiledMillis();
      TimeUnit.MILLISECONDS.sleep(REST_MILLIS);
      compiled = compiledMillis() - before;
    } while (compiled > REST_MILLIS * DONE_SHARE && System.nanoTime() < end);
  }

  private double compiledMillis() throws IOException, InterruptedException {
    double millis = ManagementFactory.getCompilationMXBean().getTotalCompilationTime();
    for (ServiceProcess process : processes) {
      millis += process.metric(COMPILED);
    }
    return millis;
  }
}
