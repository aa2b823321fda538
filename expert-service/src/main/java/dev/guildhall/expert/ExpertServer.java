package dev.guildhall.expert;

import dev.guildhall.expert.batching.ComputePool;
import dev.guildhall.expert.exchange.ExpertEndpoint;
import dev.guildhall.expert.exchange.HostedExperts;
import dev.guildhall.metrics.MetricNames;
import dev.guildhall.metrics.Telemetry;
import dev.guildhall.repository.LayerRepository;
import dev.guildhall.repository.LiveRepository;
import dev.guildhall.rpc.RpcServer;
import io.grpc.BindableService;
import io.grpc.ServerBuilder;
import io.micrometer.core.instrument.Gauge;
import io.micrometer.core.instrument.MeterRegistry;
import java.io.IOException;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.atomic.AtomicBoolean;

/** A running expert service, put together by hand from its rooms. */
public final class ExpertServer implements AutoCloseable {
  private static final Duration GRACE = Duration.ofSeconds(10);

  private final LiveRepository<LoadedLayer> repository;
  private final HostedExperts hosted;
  private final ComputePool pool;
  private final RpcServer server;
  private final AtomicBoolean closed = new AtomicBoolean();

  private ExpertServer(
      LiveRepository<LoadedLayer> repository,
      HostedExperts hosted,
      ComputePool pool,
      RpcServer server) {
    this.repository = repository;
    this.hosted = hosted;
    this.pool = pool;
    this.server = server;
  }

  /** The same without tracing. */
  public static ExpertServer start(
      ExpertOptions options,
      LayerRepository repository,
      ServerBuilder<?> builder,
      MeterRegistry registry)
      throws IOException {
    return start(options, repository, builder, Telemetry.of(registry));
  }

  /**
   * Loads the experts and listens.
   *
   * @param builder of the gRPC server, on whichever transport
   * @throws IOException if the port cannot be had
   * @throws dev.guildhall.error.GuildhallException for a layer, a tensor or a device that is not
   *     right
   */
  public static ExpertServer start(
      ExpertOptions options,
      LayerRepository repository,
      ServerBuilder<?> builder,
      Telemetry telemetry)
      throws IOException {
    MeterRegistry registry = telemetry.registry();
    ComputePool pool =
        ComputePool.builder()
            .workers(options.workers())
            .maxQueuedRows(options.maxQueuedRows())
            .maxQueuedBytes(options.maxQueuedBytes())
            .listener(new ExpertMetrics(registry))
            .start();
    HostedExperts hosted = new HostedExperts(options.device().toString());
    LiveRepository<LoadedLayer> live =
        new LiveRepository<>(
            repository.folder(), new LayerHost(options.slice(), options.device(), pool, hosted));
    try {
      live.loadAll();
      ExpertEndpoint endpoint = new ExpertEndpoint(hosted, pool, telemetry.tracing());
      RpcServer server = RpcServer.start(builder, List.of(endpoint), GRACE);
      Gauge.builder(MetricNames.EXPERT_QUEUED_ROWS, pool, ComputePool::queuedRows)
          .tag("service", options.name())
          .register(registry);
      Gauge.builder(MetricNames.EXPERT_QUEUED_BYTES, pool, ComputePool::queuedBytes)
          .tag("service", options.name())
          .register(registry);
      server.serving(true);
      return new ExpertServer(live, hosted, pool, server);
    } catch (IOException | RuntimeException e) {
      live.close();
      pool.close();
      hosted.close();
      throw e;
    }
  }

  /** Changes what is hosted. */
  public LiveRepository<LoadedLayer> repository() {
    return repository;
  }

  public int port() {
    return server.port();
  }

  /** What tells whether it is healthy, for a second port. */
  public BindableService health() {
    return server.health();
  }

  /** Lets batches in progress finish within a few seconds, then stops everything. */
  @Override
  public void close() {
    if (closed.getAndSet(true)) {
      return;
    }
    server.close();
    repository.close();
    pool.close();
    hosted.close();
  }
}
