package dev.guildhall.router;

import dev.guildhall.admin.LayerChanges;
import dev.guildhall.metrics.MetricNames;
import dev.guildhall.metrics.Telemetry;
import dev.guildhall.repository.LayerRepository;
import dev.guildhall.repository.LiveRepository;
import dev.guildhall.router.admission.Caller;
import dev.guildhall.router.admission.CallersFile;
import dev.guildhall.router.api.MoeLayerEndpoint;
import dev.guildhall.router.api.RoomCheck;
import dev.guildhall.router.api.StreamLimits;
import dev.guildhall.router.api.TokenCheck;
import dev.guildhall.router.api.TraceHeader;
import dev.guildhall.router.api.http.HttpCallers;
import dev.guildhall.router.api.http.HttpPort;
import dev.guildhall.router.api.http.HttpSettings;
import dev.guildhall.router.api.http.InferenceHandler;
import dev.guildhall.router.api.http.LiveHandler;
import dev.guildhall.router.api.http.PageHandler;
import dev.guildhall.router.api.live.LiveFeed;
import dev.guildhall.router.api.live.LiveSource;
import dev.guildhall.router.api.oip.InferenceEndpoint;
import dev.guildhall.router.api.oip.Models;
import dev.guildhall.router.forward.ForwardMetrics;
import dev.guildhall.router.forward.ForwardWatch;
import dev.guildhall.router.forward.LayerForward;
import dev.guildhall.router.forward.ServedLayer;
import dev.guildhall.router.forward.ServedLayers;
import dev.guildhall.router.forward.SlowRequests;
import dev.guildhall.router.replicas.Failover;
import dev.guildhall.router.replicas.Outliers;
import dev.guildhall.router.replicas.ReplicaDirectory;
import dev.guildhall.router.replicas.ReplicaDiscovery;
import dev.guildhall.router.replicas.RetryBudget;
import dev.guildhall.router.replicas.RoutingTable;
import dev.guildhall.rpc.ArrivalTimeout;
import dev.guildhall.rpc.RpcServer;
import dev.guildhall.rpc.Transport;
import dev.guildhall.tracing.Tracing;
import io.grpc.BindableService;
import io.grpc.ManagedChannel;
import io.grpc.ServerBuilder;
import io.micrometer.core.instrument.Gauge;
import io.micrometer.core.instrument.MeterRegistry;
import io.micrometer.core.instrument.MultiGauge;
import io.micrometer.core.instrument.Tags;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
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
  private final Optional<HttpPort> http;
  private final LiveRepository<ServedLayer> repository;
  private final ReplicaDirectory directory;
  private final Models models;
  private final Readiness readiness;
  private final Deque<Runnable> closing;

  private RouterServer(
      RpcServer server,
      Optional<HttpPort> http,
      LiveRepository<ServedLayer> repository,
      ReplicaDirectory directory,
      Models models,
      Readiness readiness,
      Deque<Runnable> closing) {
    this.server = server;
    this.http = http;
    this.repository = repository;
    this.directory = directory;
    this.models = models;
    this.readiness = readiness;
    this.closing = closing;
  }

  /** The same without tracing. */
  public static RouterServer start(
      RouterOptions options,
      LayerRepository repository,
      Transport transport,
      Function<String, ManagedChannel> channels,
      MeterRegistry registry)
      throws IOException {
    return start(options, repository, transport, channels, Telemetry.of(registry));
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
      Telemetry telemetry)
      throws IOException {
    Deque<Runnable> closing = new ArrayDeque<>();
    try {
      return start(options, repository, transport, channels, telemetry, closing);
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
      Telemetry telemetry,
      Deque<Runnable> closing)
      throws IOException {
    MeterRegistry registry = telemetry.registry();
    ExecutorService workers =
        Executors.newFixedThreadPool(
            Runtime.getRuntime().availableProcessors(),
            Thread.ofPlatform().daemon().name("guildhall-router-", 0).factory());
    closing.push(workers::shutdown);
    Outliers outliers = new Outliers(registry);
    ReplicaDirectory directory = new ReplicaDirectory(channels, transport.timer(), outliers);
    closing.push(directory::close);
    ReplicaDiscovery discovery =
        new ReplicaDiscovery(options.experts(), options.lookupInterval(), directory::targets);
    closing.push(discovery::close);
    ServedLayers served = new ServedLayers();
    closing.push(served::close);
    LayerSwitch layers = new LayerSwitch(directory, served);
    closing.push(layers::close);
    LiveRepository<ServedLayer> live = new LiveRepository<>(repository.folder(), layers);
    closing.push(live::close);
    live.loadAll();
    layers.serveAll();
    ForwardMetrics metrics = new ForwardMetrics(registry, telemetry.exemplars());
    SlowRequests slow =
        options
            .slowRequest()
            .map(duration -> SlowRequests.over(duration, System::nanoTime))
            .orElse(SlowRequests.NONE);
    LayerForward forward =
        new LayerForward(
            directory::table,
            options.maxTokensInFlight(),
            options.exchange(),
            new Failover(
                directory::table,
                new RetryBudget(RETRIED_SHARE, RETRY_RESERVE_ROWS),
                outliers,
                transport.timer(),
                registry),
            transport.timer(),
            workers,
            new ForwardWatch(metrics, telemetry.tracing(), slow));
    StreamLimits limits =
        new StreamLimits(options.defaultTimeout(), options.maxConnectionAge(), transport.timer());
    MoeLayerEndpoint endpoint = new MoeLayerEndpoint(served, forward, directory::table, limits);
    Models models = new Models(served, directory::table, live, metrics.statistics());
    Optional<Function<String, Optional<Caller>>> tokens = tokens(options, closing);
    InferenceEndpoint inference = new InferenceEndpoint(models, forward, limits);
    RpcServer server =
        RpcServer.start(
            guarded(options, transport, forward, tokens, telemetry.tracing()),
            List.of(endpoint, inference),
            GRACE);
    closing.push(server::close);
    LiveSource source = new LiveSource(served, directory, forward, metrics);
    Optional<HttpPort> http = http(options, transport, models, forward, tokens, source, closing);
    closing.push(endpoint::drain);
    closing.push(inference::drain);
    closing.push(() -> server.serving(false));
    closing.push(models::stop);
    bindGauges(registry, forward, directory);
    MultiGauge withoutHost =
        MultiGauge.builder(MetricNames.EXPERTS_WITHOUT_HOST).register(registry);
    Readiness readiness = new Readiness(server, served);
    directory.onChange(table -> {
      layers.serveWhatHasHosts(table);
      readiness.update(table);
      withoutHost.register(withoutHost(served, table), true);
    });
    discovery.start();
    return new RouterServer(server, http, live, directory, models, readiness, closing);
  }

  /** The callers by their tokens, if they need any. */
  private static Optional<Function<String, Optional<Caller>>> tokens(
      RouterOptions options, Deque<Runnable> closing) {
    return options
        .callers()
        .map(file -> {
          CallersFile callers = new CallersFile(file, options.lookupInterval());
          closing.push(callers::close);
          return callers::find;
        });
  }

  /** The port, and what looks at calls before the endpoint does: the last one added first. */
  private static ServerBuilder<?> guarded(
      RouterOptions options,
      Transport transport,
      LayerForward forward,
      Optional<Function<String, Optional<Caller>>> tokens,
      Tracing tracing) {
    ServerBuilder<?> builder =
        transport
            .server(options.port())
            .maxConnectionAge(options.maxConnectionAge().toMillis(), TimeUnit.MILLISECONDS)
            // A stream that began late on the connection ends well of itself before that.
            .maxConnectionAgeGrace(
                options.maxConnectionAge().multipliedBy(2).plus(GRACE).toMillis(),
                TimeUnit.MILLISECONDS)
            .intercept(InferenceEndpoint.interceptor())
            .intercept(new RoomCheck(forward))
            .intercept(new ArrivalTimeout(transport.timer(), options.defaultTimeout()));
    if (tracing.isOn()) {
      builder.intercept(new TraceHeader());
    }
    tokens.ifPresent(callers -> builder.intercept(new TokenCheck(callers)));
    return builder;
  }

  private static Optional<HttpPort> http(
      RouterOptions options,
      Transport transport,
      Models models,
      LayerForward forward,
      Optional<Function<String, Optional<Caller>>> tokens,
      LiveSource source,
      Deque<Runnable> closing)
      throws IOException {
    if (options.httpPort().isEmpty()) {
      return Optional.empty();
    }
    HttpSettings settings =
        new HttpSettings(
            options.httpPort().getAsInt(),
            transport.httpTls(),
            transport.maxMessageBytes(),
            options.defaultTimeout(),
            transport.timer(),
            GRACE);
    HttpCallers callers = new HttpCallers(tokens);
    LiveFeed feed = LiveFeed.start(source);
    closing.push(feed::close);
    HttpPort port =
        HttpPort.start(
            settings,
            List.of(
                new InferenceHandler(models, forward, callers, settings),
                new LiveHandler(feed, callers, options.maxConnectionAge(), settings),
                new PageHandler(settings)));
    closing.push(port::close);
    closing.push(feed::close); // Before the port, which waits for those who look.
    return Optional.of(port);
  }

  private static void bindGauges(
      MeterRegistry registry, LayerForward forward, ReplicaDirectory directory) {
    Gauge.builder(MetricNames.TOKENS_IN_FLIGHT, forward, LayerForward::tokensInFlight)
        .register(registry);
    Gauge.builder(MetricNames.TOKENS_ALLOWED, forward, LayerForward::tokensAllowed)
        .register(registry);
    Gauge.builder(MetricNames.REPLICAS, directory, ReplicaDirectory::connected).register(registry);
  }

  private static List<MultiGauge.Row<?>> withoutHost(ServedLayers served, RoutingTable table) {
    List<MultiGauge.Row<?>> rows = new ArrayList<>();
    for (ServedLayer layer : served.all()) {
      int missing = table.find(layer.version()).map(hosts -> hosts.withoutHost().size()).orElse(0);
      rows.add(MultiGauge.Row.of(Tags.of("layer", layer.name()), missing));
    }
    return rows;
  }

  public int port() {
    return server.port();
  }

  /** What tells whether it is healthy, for a second port. */
  public BindableService health() {
    return server.health();
  }

  /** None without HTTP. */
  public OptionalInt httpPort() {
    return http.map(port -> OptionalInt.of(port.port())).orElse(OptionalInt.empty());
  }

  /** Completes when every expert of every layer has had a host for the first time. */
  public CompletableFuture<Void> ready() {
    return readiness.first();
  }

  /** Changes what is served. */
  public LiveRepository<ServedLayer> repository() {
    return repository;
  }

  /**
   * Lets callers of the Open Inference Protocol load and unload layers.
   *
   * @param fromAnywhere callers of other machines too
   */
  public void allowChanges(LayerChanges changes, boolean fromAnywhere) {
    models.allowChanges(changes, fromAnywhere);
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
