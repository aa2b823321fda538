package dev.guildhall.router.replicas;

import dev.guildhall.error.ErrorCode;
import dev.guildhall.metrics.MetricNames;
import io.micrometer.core.instrument.MeterRegistry;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Keeps the replicas' track records and ejects those that fail batch after batch or are far slower
 * than their peers (outlier detection, as Envoy has it). Thread-safe.
 */
public final class Outliers {
  private static final Logger log = LoggerFactory.getLogger(Outliers.class);

  private final MeterRegistry registry;

  public Outliers(MeterRegistry registry) {
    this.registry = registry;
  }

  /** A replica's connection broke, unannounced. */
  void lost(TrackRecord replica) {
    failed(replica);
  }

  /** A replica answered a batch with a failure, or with what cannot be right. */
  void failed(Replica replica, ErrorCode failure) {
    if (isItsOwnFault(failure)) {
      failed(replica.record());
    }
  }

  private void failed(TrackRecord replica) {
    if (replica.failed(System.nanoTime())) {
      ejected(replica, "failures");
    }
  }

  /** A replica answered a batch well. */
  void answered(LayerHosts hosts, int[] experts, Replica replica, long nanos) {
    replica.record().succeeded();
    took(hosts, experts, replica, nanos);
  }

  /** A replica had a batch for some time, alone or until another one answered it. */
  void took(LayerHosts hosts, int[] experts, Replica replica, long nanos) {
    double peerNanos = fastest(hosts, experts[0], replica);
    if (replica.record().took(hosts.layer(), nanos, peerNanos, System.nanoTime())) {
      ejected(replica.record(), "latency");
    }
  }

  /** By those that do the work now. */
  private static double fastest(LayerHosts hosts, int expert, Replica except) {
    double fastest = 0;
    for (Replica host : hosts.byExpert().get(expert)) {
      boolean counts = !host.equals(except) && !host.isAvoided();
      double mean = counts ? host.record().meanNanos(hosts.layer()) : 0;
      if (mean > 0 && (fastest == 0 || mean < fastest)) {
        fastest = mean;
      }
    }
    return fastest;
  }

  private void ejected(TrackRecord replica, String reason) {
    log.warn(
        "replica {} is ejected for its {}: it gets what nobody else could do", replica, reason);
    registry
        .counter(MetricNames.REPLICA_EJECTIONS, "replica", replica.target(), "reason", reason)
        .increment();
  }

  /**
   * Full, shutting down and late replicas say so; a batch that is wrong is the router's own fault.
   */
  private static boolean isItsOwnFault(ErrorCode failure) {
    return switch (failure) {
      case INTERNAL, NOT_FOUND, UNAUTHENTICATED -> true;
      case INVALID_ARGUMENT,
          FAILED_PRECONDITION,
          RESOURCE_EXHAUSTED,
          UNAVAILABLE,
          DEADLINE_EXCEEDED,
          CANCELLED ->
          false;
    };
  }
}
