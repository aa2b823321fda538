package dev.guildhall.cli;

import dev.guildhall.rpc.ArrivalTimeout;
import dev.guildhall.rpc.Transport;
import io.grpc.BindableService;
import io.grpc.Server;
import java.io.IOException;
import java.time.Duration;
import java.util.Optional;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/**
 * A port for health checks alone. A kubelet's probe speaks no TLS, and a check within a container
 * knows neither who signed the certificate nor for which name.
 */
final class HealthFlags {
  private static final Duration ARRIVAL = Duration.ofSeconds(10);

  @Option(
      names = "--health-port",
      paramLabel = "PORT",
      description =
          "A second port for grpc.health.v1 and nothing else, in plaintext even with --tls-cert;"
              + " 0 picks a free one. Default: none.")
  private @Nullable Integer port;

  /** The health port, if there is one; closed before the server that it tells about. */
  record Health(Optional<Server> server) implements AutoCloseable {
    /** For the line that says that a server is ready. */
    String ports() {
      return server.map(running -> " health=" + running.getPort()).orElse("");
    }

    @Override
    public void close() {
      server.ifPresent(Server::shutdownNow);
    }
  }

  /**
   * Serves the health port, as asked.
   *
   * @param health of the server in this process
   */
  Health start(Transport transport, BindableService health) throws IOException {
    if (port == null) {
      return new Health(Optional.empty());
    }
    return new Health(
        Optional.of(
            transport
                .plaintextServer(port)
                .intercept(new ArrivalTimeout(transport.timer(), ARRIVAL))
                .addService(health)
                .build()
                .start()));
  }
}
