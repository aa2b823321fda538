package dev.guildhall.router;

import dev.guildhall.router.forward.ServedLayer;
import dev.guildhall.router.forward.ServedLayers;
import dev.guildhall.router.replicas.RoutingTable;
import dev.guildhall.rpc.RpcServer;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Keeps a router's health in step with what it can serve: ready while nothing lacks a host. */
final class Readiness {
  private static final Logger log = LoggerFactory.getLogger(Readiness.class);

  private final RpcServer server;
  private final ServedLayers layers;
  private List<String> lastMissing = List.of();
  private final CompletableFuture<Void> first = new CompletableFuture<>();

  Readiness(RpcServer server, ServedLayers layers) {
    this.server = server;
    this.layers = layers;
  }

  /** Takes a new table in; called by one thread at a time. */
  void update(RoutingTable table) {
    List<String> missing =
        layers.all().stream().flatMap(layer -> missing(layer, table).stream()).toList();
    if (!missing.equals(lastMissing)) {
      missing.forEach(what -> log.warn("not ready: {}", what));
      lastMissing = missing;
    }
    server.serving(missing.isEmpty());
    if (missing.isEmpty()) {
      first.complete(null);
    }
  }

  private static Optional<String> missing(ServedLayer layer, RoutingTable table) {
    return table
        .find(layer.version())
        .filter(hosts -> !hosts.serves(layer.config().missingExperts()))
        .map(hosts -> hosts.unavailable().getMessage());
  }

  /** Completes when the router is ready for the first time. */
  CompletableFuture<Void> first() {
    return first;
  }
}
