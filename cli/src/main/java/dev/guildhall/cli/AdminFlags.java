package dev.guildhall.cli;

import static java.util.Objects.requireNonNull;

import dev.guildhall.admin.AdminEndpoint;
import dev.guildhall.admin.LayerChanges;
import dev.guildhall.repository.LiveRepository;
import dev.guildhall.rpc.ArrivalTimeout;
import dev.guildhall.rpc.RpcServer;
import dev.guildhall.rpc.ServerTls;
import dev.guildhall.rpc.Transport;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** How the layers of a running server may be changed. */
final class AdminFlags {
  private static final Duration LOOK_INTERVAL = Duration.ofSeconds(2);
  private static final Duration GRACE = Duration.ofSeconds(1);
  private static final Duration ARRIVAL = Duration.ofSeconds(10);

  @Spec(Spec.Target.MIXEE)
  private @Nullable CommandSpec spec;

  @Option(
      names = "--watch",
      fallbackValue = "true",
      description = "Loads, replaces and unloads layers when the repository's files change.")
  private boolean watch;

  @Option(
      names = "--admin-port",
      paramLabel = "PORT",
      description =
          "gRPC port of the admin service, which does so when told to; 0 picks a free one."
              + " Default: none.")
  private @Nullable Integer port;

  @Option(
      names = "--admin-host",
      defaultValue = "localhost",
      paramLabel = "HOST",
      description =
          "Address of the admin port; beyond loopback --tls-client-ca is needed."
              + " Default: ${DEFAULT-VALUE}.")
  private String host = "localhost";

  /**
   * The admin port, if there is one; closed before what it changes.
   *
   * @param changes what it changes
   * @param knowsClients whether the process's ports ask for clients' certificates
   */
  record Admin(Optional<RpcServer> server, LayerChanges changes, boolean knowsClients)
      implements AutoCloseable {
    /** For the line that says that a server is ready. */
    String ports() {
      return server.map(running -> " admin=" + running.port()).orElse("");
    }

    @Override
    public void close() {
      server.ifPresent(RpcServer::close);
    }
  }

  boolean hasPort() {
    return port != null;
  }

  /**
   * Follows the files and serves the admin port, as asked.
   *
   * @param tls of the transport's ports
   * @param repositories of the services in this process, those of experts first
   */
  Admin start(Transport transport, Optional<ServerTls> tls, List<LiveRepository<?>> repositories)
      throws IOException {
    if (watch) {
      repositories.forEach(repository -> repository.watch(LOOK_INTERVAL));
    }
    LayerChanges changes = new LayerChanges(repositories);
    boolean knowsClients = tls.flatMap(ServerTls::clientCa).isPresent();
    if (port == null) {
      return new Admin(Optional.empty(), changes, knowsClients);
    }
    InetSocketAddress address = new InetSocketAddress(host, port);
    if (address.isUnresolved()) {
      throw usage("--admin-host is \"%s\"; allowed is an address of this machine");
    }
    if (!address.getAddress().isLoopbackAddress() && !knowsClients) {
      throw usage("--admin-host is \"%s\"; allowed beyond loopback only with --tls-client-ca");
    }
    RpcServer server =
        RpcServer.start(
            transport.server(address).intercept(new ArrivalTimeout(transport.timer(), ARRIVAL)),
            List.of(new AdminEndpoint(changes)),
            GRACE);
    server.serving(true);
    return new Admin(Optional.of(server), changes, knowsClients);
  }

  private CommandLine.ParameterException usage(String message) {
    return new CommandLine.ParameterException(
        requireNonNull(spec).commandLine(), message.formatted(host));
  }
}
