package dev.guildhall.cli;

import dev.guildhall.expert.ExpertOptions;
import dev.guildhall.expert.ExpertServer;
import dev.guildhall.metrics.Metrics;
import dev.guildhall.onnx.Device;
import dev.guildhall.repository.ExpertParallel;
import dev.guildhall.repository.LayerRepository;
import dev.guildhall.rpc.ArrivalTimeout;
import dev.guildhall.rpc.Transport;
import dev.guildhall.rpc.TransportTls;
import dev.guildhall.tracing.Tracing;
import io.grpc.ServerBuilder;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code guildhall expert}. */
@Command(
    name = "expert",
    description = "Runs an expert service: hosts the experts of one EP rank.",
    mixinStandardHelpOptions = true)
final class ExpertCommand implements Callable<Integer> {
  private static final Logger log = LoggerFactory.getLogger(ExpertCommand.class);
  private static final int MAX_MESSAGE_BYTES = 64 << 20;

  /** From the headers of a call to the end of its one message, which is small here. */
  private static final Duration ARRIVAL_TIMEOUT = Duration.ofSeconds(30);

  @Mixin private final ExpertFlags flags = new ExpertFlags();
  @Mixin private final ServerTlsFlags serverTls = new ServerTlsFlags();
  @Mixin private final HealthFlags health = new HealthFlags();
  @Mixin private final AdminFlags admin = new AdminFlags();
  @Mixin private final TracingFlags tracing = new TracingFlags();
  @Mixin private final LogFlags logging = new LogFlags();

  @Option(
      names = "--repository",
      required = true,
      paramLabel = "DIR",
      description = "The model repository.")
  private Path repository = Path.of(".");

  @Option(
      names = "--ep-rank",
      defaultValue = "0",
      paramLabel = "R",
      description = "Which slice of the experts to host. Default: ${DEFAULT-VALUE}.")
  private int epRank;

  @Option(
      names = "--ep-size",
      defaultValue = "1",
      paramLabel = "N",
      description = "Slices that the experts are cut into. Default: ${DEFAULT-VALUE}, all here.")
  private int epSize;

  @Option(
      names = "--port",
      defaultValue = "8101",
      paramLabel = "PORT",
      description = "gRPC port, 0 picks a free one. Default: ${DEFAULT-VALUE}.")
  private int port;

  @Option(
      names = "--socket",
      paramLabel = "PATH",
      description = "A Unix domain socket to listen on instead of the port (target unix://PATH).")
  private @Nullable Path socket;

  @Option(
      names = "--metrics-port",
      defaultValue = "8102",
      paramLabel = "PORT",
      description = "Port of /metrics, 0 picks a free one. Default: ${DEFAULT-VALUE}.")
  private int metricsPort;

  @Override
  public Integer call() throws Exception {
    logging.apply();
    ExpertOptions options =
        new ExpertOptions(
            "expert",
            new ExpertParallel(epRank, epSize),
            Device.parse(flags.device),
            flags.workers,
            flags.maxQueuedRows,
            flags.maxQueuedBytes);
    LayerRepository layers = LayerRepository.open(repository);
    try (Transport transport =
            new Transport(
                Servers.ioThreads(),
                MAX_MESSAGE_BYTES,
                TransportTls.of(serverTls.tls(), Optional.empty()));
        Tracing spans = tracing.start("guildhall-expert");
        Metrics metrics = new Metrics(metricsPort, transport.https(), spans);
        ExpertServer server =
            ExpertServer.start(options, layers, server(transport), metrics.telemetry());
        HealthFlags.Health checks = health.start(transport, server.health());
        AdminFlags.Admin changes =
            admin.start(transport, serverTls.tls(), List.of(server.repository()))) {
      String address = socket == null ? "grpc=" + server.port() : "socket=" + socket;
      log.info("expert service hosts rank {} of {} on {}", epRank, epSize, options.device());
      Servers.ready(
          "%s metrics=%d%s%s".formatted(address, metrics.port(), checks.ports(), changes.ports()));
      Servers.stopSignal().join();
    }
    return 0;
  }

  private ServerBuilder<?> server(Transport transport) throws IOException {
    ServerBuilder<?> builder =
        socket == null ? transport.server(port) : transport.server(socket.toAbsolutePath());
    return builder.intercept(new ArrivalTimeout(transport.timer(), ARRIVAL_TIMEOUT));
  }
}
