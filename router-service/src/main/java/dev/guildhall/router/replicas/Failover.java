package dev.guildhall.router.replicas;

import dev.guildhall.error.ErrorCode;
import dev.guildhall.metrics.MetricNames;
import dev.guildhall.repository.LayerVersion;
import io.micrometer.core.instrument.MeterRegistry;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Future;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.function.Supplier;

/**
 * Decides whether a batch that a replica failed, or is slow with, is sent again, and where. Rows
 * are pure functions of what is sent, so that repeating them is safe. Thread-safe.
 */
public final class Failover {
  /** A batch that three replicas failed is at fault itself. */
  private static final int MAX_ATTEMPTS = 3;

  private static final String LAYER = "layer";

  private final Supplier<RoutingTable> routes;
  private final RetryBudget budget;
  private final Outliers outliers;
  private final ScheduledExecutorService timer;
  private final MeterRegistry registry;
  private final Map<String, HedgeDelay> delays = new ConcurrentHashMap<>();

  /**
   * @param routes the table of the moment
   * @param timer runs hedges; they do not block it
   */
  public Failover(
      Supplier<RoutingTable> routes,
      RetryBudget budget,
      Outliers outliers,
      ScheduledExecutorService timer,
      MeterRegistry registry) {
    this.routes = routes;
    this.budget = budget;
    this.outliers = outliers;
    this.timer = timer;
    this.registry = registry;
  }

  /** To be told of rows when they are sent for the first time. */
  public void sent(int rows) {
    budget.earn(rows);
  }

  /**
   * To be told when a replica has answered a batch well.
   *
   * @param nanos since it was sent there
   */
  public void answered(LayerVersion layer, int[] experts, Replica replica, long nanos) {
    routes.get().find(layer).ifPresent(hosts -> outliers.answered(hosts, experts, replica, nanos));
  }

  /**
   * To be told when another replica has answered a batch first.
   *
   * @param nanos since it was sent there
   */
  public void beaten(LayerVersion layer, int[] experts, Replica replica, long nanos) {
    routes.get().find(layer).ifPresent(hosts -> outliers.took(hosts, experts, replica, nanos));
  }

  /** To be told how long a batch took that one replica was asked for. */
  public void tookOne(LayerVersion layer, long nanos) {
    delay(layer.name()).took(nanos);
  }

  /** To be told of a batch that a second replica was asked for because it took long. */
  public void tookTwo(LayerVersion layer) {
    delay(layer.name()).exceeded();
  }

  /** Whether some of the experts have no host but those that have failed a batch of them. */
  public boolean nobodyElseHosts(LayerVersion layer, int[] experts, Set<Replica> failed) {
    return routes
        .get()
        .find(layer)
        .filter(hosts -> hosts.someHostedOnlyBy(experts, failed))
        .isPresent();
  }

  /** To be told when a replica has failed a batch. */
  public void failed(Replica replica, ErrorCode failure) {
    outliers.failed(replica, failure);
  }

  /**
   * Another replica for a batch that failed.
   *
   * @param experts of the batch; the replica hosts all of them
   * @param rows of the batch
   * @param tried replicas that had the batch
   * @param failure of the last of them
   * @return empty if the failure would be the same elsewhere, nobody else hosts the experts, or the
   *     budget is spent
   */
  public Optional<Replica> next(
      LayerVersion layer, int[] experts, int rows, Set<Replica> tried, ErrorCode failure) {
    if (!mayDifferElsewhere(failure)) {
      return Optional.empty();
    }
    Optional<Replica> next = another(layer, experts, tried).filter(found -> budget.spend(rows));
    if (next.isPresent()) {
      registry
          .counter(MetricNames.BATCH_RETRIES, LAYER, layer.name(), "status", failure.name())
          .increment();
    }
    return next;
  }

  /**
   * Another replica for a batch that takes long.
   *
   * @return empty if nobody else hosts the experts or the budget is spent
   */
  public Optional<Replica> hedge(LayerVersion layer, int[] experts, int rows, Set<Replica> tried) {
    Optional<Replica> next =
        another(layer, experts, tried).filter(found -> budget.spendSpare(rows));
    if (next.isPresent()) {
      registry.counter(MetricNames.BATCH_HEDGES, LAYER, layer.name()).increment();
    }
    return next;
  }

  /**
   * Runs an action once a batch has waited for long, by the measure of the layer's recent ones.
   *
   * @return to be cancelled when the batch is answered; empty if nobody else hosts the experts
   */
  public Optional<Future<?>> afterLongWait(
      LayerVersion layer, int[] experts, Set<Replica> tried, Runnable action) {
    return another(layer, experts, tried)
        .map(other -> timer.schedule(action, delay(layer.name()).nanos(), TimeUnit.NANOSECONDS));
  }

  private Optional<Replica> another(LayerVersion layer, int[] experts, Set<Replica> tried) {
    return tried.size() >= MAX_ATTEMPTS
        ? Optional.empty()
        : routes.get().find(layer).flatMap(hosts -> hosts.leastOutstanding(experts, tried));
  }

  private HedgeDelay delay(String layer) {
    return delays.computeIfAbsent(layer, name -> new HedgeDelay());
  }

  private static boolean mayDifferElsewhere(ErrorCode failure) {
    return switch (failure) {
      case INVALID_ARGUMENT, DEADLINE_EXCEEDED -> false;
      default -> true;
    };
  }
}
