package dev.guildhall.cli.chaos;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.TimeUnit;

/** Takes down the resident memory of a process several times a second. */
final class RssWatch implements AutoCloseable {
  private static final long PERIOD_MILLIS = 250;

  private final ScheduledExecutorService timer = Executors.newSingleThreadScheduledExecutor();
  private final List<Long> bytes = new ArrayList<>();
  private final ScheduledFuture<?> samples;

  RssWatch(Node node) {
    samples =
        timer.scheduleAtFixedRate(() -> sample(node), 0, PERIOD_MILLIS, TimeUnit.MILLISECONDS);
  }

  private synchronized void sample(Node node) {
    try {
      bytes.add(Resources.rssBytes(node));
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** The most in the first half of the samples. */
  synchronized long firstHalf() {
    return most(bytes.subList(0, bytes.size() / 2));
  }

  synchronized long secondHalf() {
    return most(bytes.subList(bytes.size() / 2, bytes.size()));
  }

  private static long most(List<Long> samples) {
    return samples.stream().mapToLong(Long::longValue).max().orElse(0);
  }

  @Override
  public void close() {
    samples.cancel(false);
    timer.shutdownNow();
  }
}
