package dev.guildhall.cli;

import dev.guildhall.expert.ExpertOptions;
import dev.guildhall.metrics.Metrics;
import dev.guildhall.onnx.Device;
import dev.guildhall.proto.MoeLayerServiceGrpc;
import dev.guildhall.repository.ExpertParallel;
import dev.guildhall.repository.LayerRepository;
import dev.guildhall.router.RouterOptions;
import dev.guildhall.router.forward.ExchangeSettings;
import dev.guildhall.rpc.Transport;
import dev.guildhall.tensor.DType;
import io.grpc.ManagedChannel;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.TimeUnit;

/** A router on a free port with one embedded expert service, as {@code guildhall serve} has it. */
final class ServedSystem implements AutoCloseable {
  static final int MAX_MESSAGE_BYTES = 1 << 20;
  static final long MAX_TOKENS_IN_FLIGHT = 4096;

  private final Transport transport;
  private final Metrics metrics;
  private final EmbeddedSystem system;
  private final ManagedChannel channel;

  private ServedSystem(Transport transport, Metrics metrics, EmbeddedSystem system) {
    this.transport = transport;
    this.metrics = metrics;
    this.system = system;
    this.channel = transport.channel("localhost:" + system.router().port());
  }

  static ServedSystem start(LayerRepository repository) throws Exception {
    return start(repository, Duration.ofSeconds(30));
  }

  /**
   * @param defaultTimeout of requests that say nothing, and for requests to arrive
   */
  static ServedSystem start(LayerRepository repository, Duration defaultTimeout) throws Exception {
    Transport transport = new Transport(1, MAX_MESSAGE_BYTES);
    Metrics metrics = new Metrics(0);
    EmbeddedSystem system =
        EmbeddedSystem.start(
            repository,
            List.of(ExpertOptions.of("all", ExpertParallel.WHOLE, Device.CPU, 2)),
            targets -> options(targets, defaultTimeout),
            transport,
            metrics.telemetry());
    system.router().ready().get(30, TimeUnit.SECONDS);
    return new ServedSystem(transport, metrics, system);
  }

  static RouterOptions options(List<String> targets) {
    return options(targets, Duration.ofSeconds(30));
  }

  private static RouterOptions options(List<String> targets, Duration defaultTimeout) {
    RouterOptions options =
        new RouterOptions(
            targets,
            0,
            MAX_TOKENS_IN_FLIGHT,
            new ExchangeSettings(1 << 20, DType.FP32),
            defaultTimeout,
            Duration.ofMinutes(30),
            Duration.ofMillis(100),
            Optional.empty());
    return options.withHttp(0);
  }

  int port() {
    return system.router().port();
  }

  int httpPort() {
    return system.router().httpPort().orElseThrow();
  }

  ManagedChannel channel() {
    return channel;
  }

  MoeLayerServiceGrpc.MoeLayerServiceBlockingStub client() {
    return MoeLayerServiceGrpc.newBlockingStub(channel).withDeadlineAfter(30, TimeUnit.SECONDS);
  }

  /** The text of /metrics. */
  String metrics() throws IOException, InterruptedException {
    try (HttpClient http = HttpClient.newHttpClient()) {
      URI uri = URI.create("http://localhost:%d/metrics".formatted(metrics.port()));
      return http.send(HttpRequest.newBuilder(uri).build(), HttpResponse.BodyHandlers.ofString())
          .body();
    }
  }

  /** Requests that ended so without having been run. */
  double refused(String status) throws IOException, InterruptedException {
    String counter = "guildhall_requests_total{layer=\"\",status=\"%s\"} ".formatted(status);
    return metrics()
        .lines()
        .filter(line -> line.startsWith(counter))
        .mapToDouble(line -> Double.parseDouble(line.substring(counter.length())))
        .sum();
  }

  @Override
  public void close() {
    channel.shutdownNow();
    system.close();
    metrics.close();
    transport.close();
  }
}
