package dev.guildhall.router.replicas;

import dev.guildhall.error.ErrorCode;
import dev.guildhall.metrics.MetricNames;
import io.micrometer.core.instrument.MeterRegistry;
import java.util.Optional;
import java.util.Set;
import java.util.function.Supplier;

/**
 * Decides whether a batch that a replica failed is sent again, and where. Rows are pure functions
 * of what is sent, so that repeating them is safe. Thread-safe.
 */
public final class Failover {
  /** A batch that three replicas failed is at fault itself. */
  private static final int MAX_ATTEMPTS = 3;

  private final Supplier<RoutingTable> routes;
  private final RetryBudget budget;
  private final MeterRegistry registry;

  /**
   * @param routes the table of the moment
   */
  public Failover(Supplier<RoutingTable> routes, RetryBudget budget, MeterRegistry registry) {
    this.routes = routes;
    this.budget = budget;
    this.registry = registry;
  }

  /** To be told of each batch when it is sent for the first time. */
  public void sent() {
    budget.earn();
  }

  /**
   * Another replica for a batch.
   *
   * @param experts of the batch; the replica hosts all of them
   * @param tried replicas that had the batch
   * @param failure of the last of them
   * @return empty if the failure would be the same elsewhere, nobody else hosts the experts, or the
   *     budget is spent
   */
  public Optional<Replica> next(
      String layer, int[] experts, Set<Replica> tried, ErrorCode failure) {
    if (!mayDifferElsewhere(failure) || tried.size() >= MAX_ATTEMPTS) {
      return Optional.empty();
    }
    Optional<Replica> next =
        routes.get().layer(layer).leastOutstanding(experts, tried).filter(found -> budget.spend());
    if (next.isPresent()) {
      registry
          .counter(MetricNames.BATCH_RETRIES, "layer", layer, "status", failure.name())
          .increment();
    }
    return next;
  }

  private static boolean mayDifferElsewhere(ErrorCode failure) {
    return switch (failure) {
      case UNAVAILABLE, NOT_FOUND, RESOURCE_EXHAUSTED, INTERNAL -> true;
      case INVALID_ARGUMENT, DEADLINE_EXCEEDED, CANCELLED, UNAUTHENTICATED -> false;
    };
  }
}
