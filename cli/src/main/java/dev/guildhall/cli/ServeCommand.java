package dev.guildhall.cli;

import dev.guildhall.expert.ExpertOptions;
import dev.guildhall.metrics.Metrics;
import dev.guildhall.onnx.Device;
import dev.guildhall.repository.ExpertParallel;
import dev.guildhall.repository.LayerRepository;
import dev.guildhall.rpc.Transport;
import dev.guildhall.rpc.TransportTls;
import dev.guildhall.tracing.Tracing;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.Callable;
import java.util.stream.IntStream;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code guildhall serve}. */
@Command(
    name = "serve",
    description = "Runs a router with embedded expert services in one process.",
    mixinStandardHelpOptions = true)
final class ServeCommand implements Callable<Integer> {
  @Mixin private final RouterFlags router = new RouterFlags();
  @Mixin private final ServerTlsFlags serverTls = new ServerTlsFlags();
  @Mixin private final ExpertFlags experts = new ExpertFlags();
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
      names = "--replicas",
      defaultValue = "1",
      paramLabel = "N",
      description =
          "Embedded expert services, each hosting every expert. Default: ${DEFAULT-VALUE}.")
  private int replicas;

  @Override
  public Integer call() throws Exception {
    logging.apply();
    router.check(admin);
    LayerRepository layers = LayerRepository.open(repository);
    List<ExpertOptions> services =
        IntStream.range(0, replicas).mapToObj(replica -> options("replica-" + replica)).toList();
    try (Transport transport =
            router.transport(TransportTls.of(serverTls.tls(), Optional.empty()));
        Tracing spans = tracing.start("guildhall");
        Metrics metrics = router.metrics(transport, spans);
        EmbeddedSystem system =
            EmbeddedSystem.start(
                layers, services, router::options, transport, metrics.telemetry());
        HealthFlags.Health checks = health.start(transport, system.router().health());
        AdminFlags.Admin changes = admin.start(transport, serverTls.tls(), system.repositories())) {
      router.serve(system.router(), metrics, checks, changes);
    }
    return 0;
  }

  private ExpertOptions options(String name) {
    return new ExpertOptions(
        name,
        ExpertParallel.WHOLE,
        Device.parse(experts.device),
        Math.max(1, experts.workers / replicas),
        experts.maxQueuedRows,
        experts.maxQueuedBytes);
  }
}
