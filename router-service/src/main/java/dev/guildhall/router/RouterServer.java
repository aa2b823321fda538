package dev.guildhall.router;

import dev.guildhall.metrics.MetricNames;
import dev.guildhall.repository.LayerRepository;
import dev.guildhall.router.admission.CallersFile;
import dev.guildhall.router.admission.TokenBudget;
import dev.guildhall.router.api.MoeLayerEndpoint;
import dev.guildhall.router.api.TokenCheck;
import dev.guildhall.router.forward.ForwardMetrics;
import dev.guildhall.router.forward.LayerForward;
import dev.guildhall.router.replicas.Failover;
import dev.guildhall.router.replicas.ReplicaDirectory;
import dev.guildhall.router.replicas.ReplicaDiscovery;
import dev.guildhall.router.replicas.RetryBudget;
import dev.guildhall.rpc.ArrivalTimeout;
import dev.guildhall.rpc.RpcServer;
import dev.guildhall.rpc.Transport;
import io.grpc.ManagedChannel;
import io.grpc.ServerBuilder;
import io.micrometer.core.instrument.Gauge;
import io.micrometer.core.instrument.MeterRegistry;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.function.Function;

/**
 * A running router, put together by hand from its rooms. It is healthy while every expert of every
 * layer has a host.
 */
public final class RouterServer implements AutoCloseable {
  private static final Duration GRACE = Duration.ofSeconds(10);
  private static final double RETRIED_SHARE = 0.2;

  /** As many rows as busy replicas may have in flight when they are lost. */
  private static final int RETRY_RESERVE_ROWS = 1 << 17;

  private final RpcServer server;
  private final ReplicaDirectory directory;
  private final Readiness readiness;
  private final Deque<Runnable> closing;

  private RouterServer(
      RpcServer server, ReplicaDirectory directory, Readiness readiness, Deque<Runnable> closing) {
    this.server = server;
    this.directory = directory;
    this.readiness = readiness;
    this.closing = closing;
  }

  /**
   * Loads the repository's gates, listens, and starts to look for the replicas.
   *
   * @param channels opens a channel to a target of {@link RouterOptions#experts}
   * @throws IOException if the port cannot be had
   * @throws dev.guildhall.error.GuildhallException for a layer or target that is not right
   */
  public static RouterServer start(
      RouterOptions options,
      LayerRepository repository,
      Transport transport,
      Function<String, ManagedChannel> channels,
      MeterRegistry registry)
      throws IOException {
    Deque<Runnable> closing = new ArrayDeque<>();
    try {
      return start(options, repository, transport, channels, registry, closing);
    } catch (IOException | RuntimeException e) {
      closing.forEach(Runnable::run);
      throw e;
    }
  }

  /** Whatever is started is pushed on {@code closing}, to be closed in the opposite order. */
  private static RouterServer start(
      RouterOptions options,
      LayerRepository repository,
      Transport transport,
      Function<String, ManagedChannel> channels,
      MeterRegistry registry,
      Deque<Runnable> closing)
      throws IOException {
    LoadedLayers layers = LoadedLayers.load(repository);
    closing.push(layers::close);
    ExecutorService workers =
        Executors.newFixedThreadPool(
            Runtime.getRuntime().availableProcessors(),
            Thread.ofPlatform().daemon().name("guildhall-router-", 0).factory());
    closing.push(workers::shutdown);
    ReplicaDirectory directory =
        new ReplicaDirectory(layers.configs(), channels, transport.timer());
    closing.push(directory::close);
    ReplicaDiscovery discovery =
        new ReplicaDiscovery(options.experts(), options.lookupInterval(), directory::targets);
    closing.push(discovery::close);
    TokenBudget budget = new TokenBudget(options.maxTokensInFlight());
    LayerForward forward =
        new LayerForward(
            directory::table,
            budget,
            options.exchange(),
            new Failover(
                directory::table,
                new RetryBudget(RETRIED_SHARE, RETRY_RESERVE_ROWS),
                transport.timer(),
                registry),
            transport.timer(),
            workers,
            new ForwardMetrics(registry));
    MoeLayerEndpoint endpoint =
        new MoeLayerEndpoint(layers.served(), forward, directory::table, options.defaultTimeout());
    RpcServer server =
        RpcServer.start(guarded(options, transport, closing), List.of(endpoint), GRACE);
    closing.push(server::close);
    closing.push(endpoint::drain);
    closing.push(() -> server.serving(false));
    bindGauges(registry, budget, directory);
    Readiness readiness = new Readiness(server);
    directory.onChange(readiness::update);
    discovery.start();
    return new RouterServer(server, directory, readiness, closing);
  }

  /** The port, and what looks at calls before the endpoint does: the last one added first. */
  private static ServerBuilder<?> guarded(
      RouterOptions options, Transport transport, Deque<Runnable> closing) {
    ServerBuilder<?> builder =
        transport
            .server(options.port())
            .intercept(new ArrivalTimeout(transport.timer(), options.defaultTimeout()));
    options
        .callers()
        .ifPresent(file -> {
          CallersFile callers = new CallersFile(file, options.lookupInterval());
          closing.push(callers::close);
          builder.intercept(new TokenCheck(callers::find));
        });
    return builder;
  }

  private static void bindGauges(
      MeterRegistry registry, TokenBudget budget, ReplicaDirectory directory) {
    Gauge.builder(MetricNames.TOKENS_IN_FLIGHT, budget, TokenBudget::inFlight).register(registry);
    Gauge.builder(MetricNames.REPLICAS, directory, ReplicaDirectory::connected).register(registry);
    directory
        .table()
        .layers()
        .keySet()
        .forEach(layer ->
            Gauge.builder(
                    MetricNames.EXPERTS_WITHOUT_HOST,
                    directory,
                    replicas -> replicas.table().layer(layer).withoutHost().size())
                .tag("layer", layer)
                .register(registry));
  }

  public int port() {
    return server.port();
  }

  /** Completes when every expert of every layer has had a host for the first time. */
  public CompletableFuture<Void> ready() {
    return readiness.first();
  }

  /** The replicas it is connected to. */
  public ReplicaDirectory replicas() {
    return directory;
  }

  /** Lets requests in progress finish within a few seconds, then stops everything. */
  @Override
  public void close() {
    while (!closing.isEmpty()) {
      closing.pop().run();
    }
  }
}
