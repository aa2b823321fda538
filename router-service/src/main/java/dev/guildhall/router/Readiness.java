package dev.guildhall.router;

import dev.guildhall.router.replicas.RoutingTable;
import dev.guildhall.rpc.RpcServer;
import java.util.concurrent.CompletableFuture;

/** Keeps a router's health in step with its routing table: ready while nothing lacks a host. */
final class Readiness {
  private final RpcServer server;
  private final CompletableFuture<Void> first = new CompletableFuture<>();

  Readiness(RpcServer server) {
    this.server = server;
  }

  /** Takes a new table in. */
  void update(RoutingTable table) {
    boolean complete = table.complete();
    server.serving(complete);
    if (complete) {
      first.complete(null);
    }
  }

  /** Completes when the router is ready for the first time. */
  CompletableFuture<Void> first() {
    return first;
  }
}
