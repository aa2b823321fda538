package dev.guildhall.cli;

import dev.guildhall.expert.ExpertOptions;
import dev.guildhall.expert.ExpertServer;
import dev.guildhall.metrics.Telemetry;
import dev.guildhall.repository.LayerRepository;
import dev.guildhall.repository.LiveRepository;
import dev.guildhall.router.RouterOptions;
import dev.guildhall.router.RouterServer;
import dev.guildhall.rpc.Transport;
import io.grpc.inprocess.InProcessChannelBuilder;
import io.grpc.inprocess.InProcessServerBuilder;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.UUID;
import java.util.function.Function;

/**
 * A router with embedded expert services: everything as usual, over gRPC's in-process transport.
 */
final class EmbeddedSystem implements AutoCloseable {
  private static final String SCHEME = "inprocess:";

  private final List<ExpertServer> experts;
  private final RouterServer router;

  private EmbeddedSystem(List<ExpertServer> experts, RouterServer router) {
    this.experts = experts;
    this.router = router;
  }

  /**
   * Starts the experts and then the router.
   *
   * @param services one expert service each
   * @param routerOptions from the targets of the expert services
   */
  static EmbeddedSystem start(
      LayerRepository repository,
      List<ExpertOptions> services,
      Function<List<String>, RouterOptions> routerOptions,
      Transport transport,
      Telemetry telemetry)
      throws IOException {
    String prefix = UUID.randomUUID() + "-";
    List<ExpertServer> experts = new ArrayList<>();
    List<String> targets = new ArrayList<>();
    try {
      for (ExpertOptions options : services) {
        String name = prefix + experts.size();
        experts.add(
            ExpertServer.start(
                options,
                repository,
                InProcessServerBuilder.forName(name).directExecutor(),
                telemetry));
        targets.add(SCHEME + name);
      }
      RouterServer router =
          RouterServer.start(
              routerOptions.apply(targets),
              repository,
              transport,
              target ->
                  InProcessChannelBuilder.forName(target.substring(SCHEME.length()))
                      .directExecutor()
                      .build(),
              telemetry);
      return new EmbeddedSystem(experts, router);
    } catch (IOException | RuntimeException e) {
      experts.forEach(ExpertServer::close);
      throw e;
    }
  }

  /** What changes the layers, that of the experts first. */
  List<LiveRepository<?>> repositories() {
    List<LiveRepository<?>> all = new ArrayList<>();
    experts.forEach(server -> all.add(server.repository()));
    all.add(router.repository());
    return all;
  }

  RouterServer router() {
    return router;
  }

  @Override
  public void close() {
    router.close();
    experts.forEach(ExpertServer::close);
  }
}
