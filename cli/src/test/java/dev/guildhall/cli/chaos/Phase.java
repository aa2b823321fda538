package dev.guildhall.cli.chaos;

import io.grpc.Status;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.TimeUnit;
import org.HdrHistogram.Histogram;

/**
 * What a load saw while things were in one way: latencies by question, and failures. Thread-safe.
 */
final class Phase {
  private static final long LONGEST_NANOS = TimeUnit.MINUTES.toNanos(5);
  private static final int DIGITS = 3;
  private static final int EXAMPLES = 5;

  private final String name;
  private final long startNanos = System.nanoTime();
  private final Map<String, Histogram> latencies = new TreeMap<>();
  private final Map<String, Integer> failures = new TreeMap<>();
  private final List<String> examples = new ArrayList<>();
  private long endNanos = Long.MAX_VALUE;

  Phase(String name) {
    this.name = name;
  }

  String name() {
    return name;
  }

  synchronized void answered(String question, long nanos) {
    latencies
        .computeIfAbsent(question, key -> new Histogram(LONGEST_NANOS, DIGITS))
        .recordValue(Math.min(nanos, LONGEST_NANOS));
  }

  synchronized void failed(Status.Code code, String message) {
    count(code.name(), message);
  }

  /** Answered, but not as it should be. */
  synchronized void wrong(String flaw) {
    count("WRONG", flaw);
  }

  private void count(String kind, String message) {
    failures.merge(kind, 1, Integer::sum);
    if (examples.size() < EXAMPLES) {
      examples.add(kind + ": " + message);
    }
  }

  synchronized void end() {
    if (endNanos == Long.MAX_VALUE) {
      endNanos = System.nanoTime();
    }
  }

  synchronized long answers() {
    return latencies.values().stream().mapToLong(Histogram::getTotalCount).sum();
  }

  synchronized int failures() {
    return failures.values().stream().mapToInt(Integer::intValue).sum();
  }

  synchronized Map<String, Integer> failuresByKind() {
    return Map.copyOf(failures);
  }

  /** The first failures, to tell what went wrong. */
  synchronized List<String> examples() {
    return List.copyOf(examples);
  }

  synchronized double seconds() {
    return (Math.min(endNanos, System.nanoTime()) - startNanos) / 1e9;
  }

  /** Of the answers to all questions. */
  synchronized double millis(double percentile) {
    Histogram all = new Histogram(LONGEST_NANOS, DIGITS);
    latencies.values().forEach(all::add);
    return all.getValueAtPercentile(percentile) / 1e6;
  }

  /** The most that an answer took beyond what its question usually took before. */
  double worstAddedMillis(Phase before) {
    Map<String, Long> usual = before.quantiles(50);
    return quantiles(100).entrySet().stream()
        .mapToDouble(worst -> (worst.getValue() - usual.getOrDefault(worst.getKey(), 0L)) / 1e6)
        .max()
        .orElse(0);
  }

  private synchronized Map<String, Long> quantiles(double percentile) {
    Map<String, Long> quantiles = new LinkedHashMap<>();
    latencies.forEach(
        (question, latency) -> quantiles.put(question, latency.getValueAtPercentile(percentile)));
    return quantiles;
  }

  @Override
  public String toString() {
    return "%s: %d answers, p50 %.2f p99 %.2f max %.2f ms, failures %s"
        .formatted(name, answers(), millis(50), millis(99), millis(100), failuresByKind());
  }
}
