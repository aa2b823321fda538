package dev.guildhall.cli;

import dev.guildhall.metrics.Metrics;
import dev.guildhall.repository.LayerRepository;
import dev.guildhall.router.RouterServer;
import dev.guildhall.rpc.Transport;
import dev.guildhall.rpc.TransportTls;
import dev.guildhall.tracing.Tracing;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code guildhall router}. */
@Command(
    name = "router",
    description = "Runs a router: the gate, the dispatch to expert services, the combine.",
    mixinStandardHelpOptions = true)
final class RouterCommand implements Callable<Integer> {
  @Mixin private final RouterFlags router = new RouterFlags();
  @Mixin private final ServerTlsFlags serverTls = new ServerTlsFlags();
  @Mixin private final ExpertsTlsFlags expertsTls = new ExpertsTlsFlags();
  @Mixin private final HealthFlags health = new HealthFlags();
  @Mixin private final AdminFlags admin = new AdminFlags();
  @Mixin private final TracingFlags tracing = new TracingFlags();
  @Mixin private final LogFlags logging = new LogFlags();

  @Option(
      names = "--repository",
      required = true,
      paramLabel = "DIR",
      description = "The model repository; a router reads the gates, not the experts.")
  private Path repository = Path.of(".");

  @Option(
      names = "--experts",
      required = true,
      split = ",",
      paramLabel = "TARGET",
      description =
          "Expert services: host:port, dns:///name:port, unix:///path, or file:///path of a file"
              + " that lists such targets, one a line.")
  private List<String> experts = List.of();

  @Override
  public Integer call() throws Exception {
    logging.apply();
    router.check(admin);
    LayerRepository layers = LayerRepository.open(repository);
    try (Transport transport =
            router.transport(TransportTls.of(serverTls.tls(), expertsTls.tls()));
        Tracing spans = tracing.start("guildhall-router");
        Metrics metrics = router.metrics(transport, spans);
        RouterServer server =
            RouterServer.start(
                router.options(experts),
                layers,
                transport,
                transport::channel,
                metrics.telemetry());
        HealthFlags.Health checks = health.start(transport, server.health());
        AdminFlags.Admin changes =
            admin.start(transport, serverTls.tls(), List.of(server.repository()))) {
      router.serve(server, metrics, checks, changes);
    }
    return 0;
  }
}
