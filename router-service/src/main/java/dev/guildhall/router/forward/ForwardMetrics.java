package dev.guildhall.router.forward;

import dev.guildhall.error.ErrorCode;
import dev.guildhall.metrics.Exemplars;
import dev.guildhall.metrics.MetricNames;
import io.micrometer.core.instrument.Counter;
import io.micrometer.core.instrument.MeterRegistry;
import io.micrometer.core.instrument.Timer;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;

/** What requests leave in the metrics. Thread-safe. */
public final class ForwardMetrics {
  private static final String LAYER = "layer";
  private static final String OK = "OK";

  private final MeterRegistry registry;
  private final Exemplars exemplars;
  private final ForwardStatistics statistics = new ForwardStatistics();
  private final Map<LayerKey, LayerMeters> layers = new ConcurrentHashMap<>();
  private final Map<String, Counter> requests = new ConcurrentHashMap<>();

  /**
   * @param exemplars of the registry
   */
  public ForwardMetrics(MeterRegistry registry, Exemplars exemplars) {
    this.registry = registry;
    this.exemplars = exemplars;
  }

  /** The totals of each layer. */
  public ForwardStatistics statistics() {
    return statistics;
  }

  /** A layer that is replaced may have another number of experts. */
  private record LayerKey(String name, int experts) {}

  private record LayerMeters(
      Timer duration,
      Timer fanOut,
      Counter tokens,
      Counter slots,
      Counter dropped,
      Counter lost,
      List<Counter> routes) {}

  /** Passes on to the listener and counts what it hears. */
  ForwardListener observe(ForwardJob job, ForwardListener listener) {
    ServedLayer layer = job.layer();
    int tokens = job.tokens();
    long startNanos = System.nanoTime();
    return new ForwardListener() {
      @Override
      public void succeeded(ForwardResult result) {
        LayerMeters meters = meters(layer);
        long nanos = System.nanoTime() - startNanos;
        statistics.succeeded(layer.name(), tokens, nanos, result.queueNanos());
        exemplars.of(
            job.trace().span(),
            () -> {
              meters.duration.record(nanos, TimeUnit.NANOSECONDS);
              meters.fanOut.record(result.fanOutNanos(), TimeUnit.NANOSECONDS);
            });
        meters.tokens.increment(tokens);
        count(meters, result);
        requests(layer.name(), OK).increment();
        listener.succeeded(result);
      }

      @Override
      public void failed(Throwable failure) {
        statistics.failed(layer.name(), System.nanoTime() - startNanos);
        requests(layer.name(), ErrorCode.of(failure).name()).increment();
        listener.failed(failure);
      }
    };
  }

  /** A request was refused before it was read, or could not be run: it counts for no layer. */
  void refused(Throwable failure) {
    requests("", ErrorCode.of(failure).name()).increment();
  }

  /** What has been counted of a layer so far; zeros if it has had no request. */
  public LayerCounts counts(ServedLayer layer) {
    ForwardStatistics.Totals totals = statistics.of(layer.name());
    int experts = layer.config().numExperts();
    LayerMeters meters = layers.get(new LayerKey(layer.name(), experts));
    long[] routes = new long[experts];
    if (meters != null) {
      for (int expert = 0; expert < experts; expert++) {
        routes[expert] = count(meters.routes.get(expert));
      }
    }
    return new LayerCounts(
        totals.succeeded(),
        totals.failed(),
        totals.succeededNanos(),
        totals.queueNanos(),
        totals.tokens(),
        meters == null ? 0 : count(meters.dropped),
        meters == null ? 0 : count(meters.lost),
        routes);
  }

  private static long count(Counter counter) {
    return Math.round(counter.count());
  }

  /** Requests refused before they were read. */
  public long refusedUnreadCount() {
    Counter counter = requests.get(requestsKey("", ErrorCode.RESOURCE_EXHAUSTED.name()));
    return counter == null ? 0 : count(counter);
  }

  private static void count(LayerMeters meters, ForwardResult result) {
    int lost = result.lost().count();
    int experts = meters.routes.size();
    meters.slots.increment((double) result.routing().capacity() * experts);
    meters.dropped.increment((double) result.routing().droppedRoutes() - lost);
    meters.lost.increment(lost);
    long[] counts = result.routing().expCounts();
    for (int expert = 0; expert < experts; expert++) {
      if (counts[expert] > 0) {
        meters.routes.get(expert).increment((double) counts[expert]);
      }
    }
  }

  private Counter requests(String layer, String status) {
    return requests.computeIfAbsent(
        requestsKey(layer, status),
        key -> registry.counter(MetricNames.REQUESTS, LAYER, layer, "status", status));
  }

  private static String requestsKey(String layer, String status) {
    return layer + ' ' + status;
  }

  private LayerMeters meters(ServedLayer layer) {
    LayerKey key = new LayerKey(layer.name(), layer.config().numExperts());
    LayerMeters known = layers.get(key);
    return known != null ? known : layers.computeIfAbsent(key, unknown -> register(layer));
  }

  private LayerMeters register(ServedLayer layer) {
    String name = layer.name();
    return new LayerMeters(
        timer(MetricNames.REQUEST_DURATION, name),
        timer(MetricNames.FAN_OUT_DURATION, name),
        registry.counter(MetricNames.TOKENS, LAYER, name),
        registry.counter(MetricNames.CAPACITY_SLOTS, LAYER, name),
        registry.counter(MetricNames.DROPPED_ROUTES, LAYER, name),
        registry.counter(MetricNames.LOST_ROUTES, LAYER, name),
        IntStream.range(0, layer.config().numExperts())
            .mapToObj(expert ->
                registry.counter(
                    MetricNames.ROUTES, LAYER, name, "expert", Integer.toString(expert)))
            .toList());
  }

  private Timer timer(String name, String layer) {
    return Timer.builder(name).tag(LAYER, layer).publishPercentileHistogram().register(registry);
  }
}
