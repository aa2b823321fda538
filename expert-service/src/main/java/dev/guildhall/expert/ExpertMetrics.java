package dev.guildhall.expert;

import dev.guildhall.expert.batching.BatchingListener;
import dev.guildhall.expert.batching.ExpertKey;
import dev.guildhall.metrics.MetricNames;
import io.micrometer.core.instrument.Counter;
import io.micrometer.core.instrument.DistributionSummary;
import io.micrometer.core.instrument.MeterRegistry;
import io.micrometer.core.instrument.Tags;
import io.micrometer.core.instrument.Timer;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;

/** What computed blocks leave in the metrics. Thread-safe. */
final class ExpertMetrics implements BatchingListener {
  private final MeterRegistry registry;
  private final Map<ExpertKey, ExpertMeters> experts = new ConcurrentHashMap<>();

  ExpertMetrics(MeterRegistry registry) {
    this.registry = registry;
  }

  private record ExpertMeters(
      Counter rows, Timer compute, Timer queue, DistributionSummary blockRows) {}

  @Override
  public void computed(ComputedBlock block) {
    ExpertMeters known = experts.get(block.expert());
    ExpertMeters meters =
        known != null ? known : experts.computeIfAbsent(block.expert(), this::register);
    meters.rows.increment(block.rows());
    meters.compute.record(block.computeNanos(), TimeUnit.NANOSECONDS);
    meters.queue.record(block.queueNanos(), TimeUnit.NANOSECONDS);
    meters.blockRows.record(block.rows());
  }

  private ExpertMeters register(ExpertKey key) {
    Tags layer = Tags.of("layer", key.layer());
    Tags expert = layer.and("expert", Integer.toString(key.expert()));
    return new ExpertMeters(
        registry.counter(MetricNames.EXPERT_ROWS, expert),
        registry.timer(MetricNames.EXPERT_COMPUTE_DURATION, expert),
        Timer.builder(MetricNames.EXPERT_QUEUE_DURATION)
            .tags(layer)
            .publishPercentileHistogram()
            .register(registry),
        registry.summary(MetricNames.EXPERT_BLOCK_ROWS, layer));
  }
}
