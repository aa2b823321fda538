package dev.guildhall.rpc;

import io.grpc.BindableService;
import io.grpc.Server;
import io.grpc.ServerBuilder;
import io.grpc.health.v1.HealthCheckResponse.ServingStatus;
import io.grpc.protobuf.services.HealthStatusManager;
import io.grpc.protobuf.services.ProtoReflectionService;
import io.grpc.protobuf.services.ProtoReflectionServiceV1;
import java.io.IOException;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.TimeUnit;

/**
 * A gRPC server with {@code grpc.health.v1} and reflection beside its own services. Not healthy
 * until {@link #serving} says so.
 */
public final class RpcServer implements AutoCloseable {
  private final Server server;
  private final HealthStatusManager health;
  private final List<String> names;
  private final Duration grace;

  private RpcServer(Server server, HealthStatusManager health, List<String> names, Duration grace) {
    this.server = server;
    this.health = health;
    this.names = names;
    this.grace = grace;
  }

  /**
   * Starts a server.
   *
   * @param grace how long {@link #close} lets calls in progress go on
   * @throws IOException if the port cannot be had
   */
  @SuppressWarnings("deprecation") // Many clients know the alpha version of reflection only.
  public static RpcServer start(
      ServerBuilder<?> builder, List<BindableService> services, Duration grace) throws IOException {
    HealthStatusManager health = new HealthStatusManager();
    List<String> names =
        services.stream()
            .map(service -> service.bindService().getServiceDescriptor().getName())
            .toList();
    services.forEach(builder::addService);
    builder.addService(health.getHealthService());
    builder.addService(ProtoReflectionServiceV1.newInstance());
    builder.addService(ProtoReflectionService.newInstance());
    RpcServer server = new RpcServer(builder.build(), health, names, grace);
    server.serving(false);
    server.server.start();
    return server;
  }

  /** The port it listens on; -1 if it has none, as in-process servers. */
  public int port() {
    return server.getPort();
  }

  /** Its {@code grpc.health.v1}, for a second port. */
  public BindableService health() {
    return health.getHealthService();
  }

  /** Tells health checkers whether requests would be served. */
  public void serving(boolean ready) {
    ServingStatus status = ready ? ServingStatus.SERVING : ServingStatus.NOT_SERVING;
    health.setStatus(HealthStatusManager.SERVICE_NAME_ALL_SERVICES, status);
    names.forEach(name -> health.setStatus(name, status));
  }

  /** Takes no new calls, lets those in progress finish within the grace period, ends the rest. */
  @Override
  public void close() {
    health.enterTerminalState();
    server.shutdown();
    try {
      if (!server.awaitTermination(grace.toMillis(), TimeUnit.MILLISECONDS)) {
        server.shutdownNow().awaitTermination(1, TimeUnit.SECONDS);
      }
    } catch (InterruptedException e) {
      server.shutdownNow();
      Thread.currentThread().interrupt();
    }
  }
}
