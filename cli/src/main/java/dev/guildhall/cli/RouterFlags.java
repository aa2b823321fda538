package dev.guildhall.cli;

import static java.util.Objects.requireNonNull;

import dev.guildhall.metrics.Metrics;
import dev.guildhall.router.RouterOptions;
import dev.guildhall.router.RouterServer;
import dev.guildhall.router.forward.ExchangeSettings;
import dev.guildhall.rpc.Transport;
import dev.guildhall.rpc.TransportTls;
import dev.guildhall.tracing.Tracing;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/** The flags that {@code router} and {@code serve} share, and what they do with them. */
final class RouterFlags {
  private static final Logger log = LoggerFactory.getLogger(RouterFlags.class);

  @Option(
      names = "--port",
      defaultValue = "8001",
      paramLabel = "PORT",
      description = "gRPC port, 0 picks a free one. Default: ${DEFAULT-VALUE}.")
  private int port;

  @Option(
      names = "--http-port",
      defaultValue = "8000",
      paramLabel = "PORT",
      description =
          "HTTP port of the Open Inference Protocol, 0 picks a free one. Default: ${DEFAULT-VALUE}.")
  private int httpPort;

  @Option(
      names = "--metrics-port",
      defaultValue = "8002",
      paramLabel = "PORT",
      description = "Port of /metrics, 0 picks a free one. Default: ${DEFAULT-VALUE}.")
  private int metricsPort;

  @Option(
      names = "--max-request-bytes",
      defaultValue = "67108864",
      paramLabel = "N",
      description = "Largest request, in bytes. Default: ${DEFAULT-VALUE}.")
  private int maxRequestBytes;

  @Option(
      names = "--max-tokens-in-flight",
      defaultValue = "1048576",
      paramLabel = "N",
      description =
          "Tokens served at once; beyond them requests are refused. Default: ${DEFAULT-VALUE}.")
  private long maxTokensInFlight;

  @Option(
      names = "--default-timeout-seconds",
      defaultValue = "30",
      paramLabel = "N",
      description = "For requests that bring no deadline. Default: ${DEFAULT-VALUE}.")
  private int defaultTimeoutSeconds;

  @Option(
      names = "--max-connection-age-seconds",
      defaultValue = "1800",
      paramLabel = "N",
      description =
          "Clients are asked to connect anew after it, so that new routers get their share;"
              + " nothing is lost. Default: ${DEFAULT-VALUE}.")
  private int maxConnectionAgeSeconds;

  @Option(
      names = "--slow-request-ms",
      paramLabel = "N",
      description =
          "Requests that take longer are logged with where their time went, one a second at most."
              + " Default: none is.")
  private @Nullable Integer slowRequestMillis;

  @Option(
      names = "--wire-dtype",
      defaultValue = "fp32",
      paramLabel = "fp32|bf16|fp16",
      description =
          "How rows travel to the experts and back; 16 bits halve the bytes and round."
              + " Default: ${DEFAULT-VALUE}.")
  private WireDtype wireDtype = WireDtype.fp32;

  @Option(
      names = "--callers",
      paramLabel = "FILE",
      description =
          "JSON file of who may call, with which tokens and limits; read again when it changes."
              + " Default: anyone.")
  private @Nullable Path callers;

  @Option(
      names = "--oip-admin",
      fallbackValue = "true",
      description =
          "Lets callers of the Open Inference Protocol load and unload layers as the admin port"
              + " does; needs --admin-port, and --tls-client-ca for callers beyond loopback.")
  private boolean oipAdmin;

  @Spec(Spec.Target.MIXEE)
  private @Nullable CommandSpec spec;

  /**
   * A router's transport.
   *
   * @param tls of its ports, and towards expert services
   */
  Transport transport(TransportTls tls) {
    if (callers != null && tls.server().isEmpty()) {
      log.warn("--callers without --tls-cert: tokens can be read by whoever reads the network");
    }
    return new Transport(Servers.ioThreads(), maxRequestBytes, tls);
  }

  Metrics metrics(Transport transport, Tracing tracing) throws IOException {
    return new Metrics(metricsPort, transport.https(), tracing);
  }

  RouterOptions options(List<String> experts) {
    RouterOptions defaults = RouterOptions.of(experts, port);
    RouterOptions options =
        new RouterOptions(
            experts,
            port,
            maxTokensInFlight,
            new ExchangeSettings(defaults.exchange().maxBatchBytes(), wireDtype.dtype()),
            Duration.ofSeconds(defaultTimeoutSeconds),
            Duration.ofSeconds(maxConnectionAgeSeconds),
            defaults.lookupInterval(),
            Optional.ofNullable(callers));
    RouterOptions served = options.withHttp(httpPort);
    return slowRequestMillis == null
        ? served
        : served.withSlowRequest(Duration.ofMillis(slowRequestMillis));
  }

  /** Checks what is given against the flags of the admin port, before anything starts. */
  void check(AdminFlags admin) {
    if (oipAdmin && !admin.hasPort()) {
      throw new ParameterException(
          requireNonNull(spec).commandLine(), "--oip-admin needs --admin-port");
    }
  }

  /** Prints {@code ready} once every expert has a host, and returns when the process is to stop. */
  void serve(
      RouterServer server, Metrics metrics, HealthFlags.Health health, AdminFlags.Admin admin) {
    if (oipAdmin) {
      server.allowChanges(admin.changes(), admin.knowsClients());
    }
    int http = server.httpPort().orElseThrow();
    log.info(
        "router listens on gRPC port {}, HTTP on {}, metrics on {}",
        server.port(),
        http,
        metrics.port());
    CompletableFuture<Void> stop = Servers.stopSignal();
    CompletableFuture.anyOf(server.ready(), stop).join();
    if (!stop.isDone()) {
      Servers.ready(
          "grpc=%d http=%d metrics=%d%s%s"
              .formatted(server.port(), http, metrics.port(), health.ports(), admin.ports()));
    }
    stop.join();
  }
}
