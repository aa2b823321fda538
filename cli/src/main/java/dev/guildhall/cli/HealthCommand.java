package dev.guildhall.cli;

import static java.util.Objects.requireNonNull;

import dev.guildhall.rpc.Transport;
import io.grpc.ManagedChannel;
import io.grpc.health.v1.HealthCheckRequest;
import io.grpc.health.v1.HealthCheckResponse.ServingStatus;
import io.grpc.health.v1.HealthGrpc;
import java.util.concurrent.Callable;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code guildhall health}: what a container without a shell and other tools is checked by. */
@Command(
    name = "health",
    description = "Asks a router or an expert service whether it serves (grpc.health.v1).",
    mixinStandardHelpOptions = true,
    exitCodeListHeading = "Exit codes:%n",
    exitCodeList = {"0:it serves", "1:it does not, or does not answer"})
final class HealthCommand implements Callable<Integer> {
  /** A fresh JVM among many on few processors takes seconds to open its first connection. */
  private static final int TIMEOUT_SECONDS = 20;

  private static final int MAX_ANSWER_BYTES = 64 << 10;

  @Mixin private final ClientFlags flags = new ClientFlags();

  @Option(
      names = "--target",
      paramLabel = "HOST:PORT",
      required = true,
      description = "A running router or expert service.")
  private @Nullable String target;

  @Override
  public Integer call() {
    ServingStatus status = status(requireNonNull(target));
    System.out.println(status);
    return status == ServingStatus.SERVING ? 0 : 1;
  }

  private ServingStatus status(String server) {
    try (Transport transport = new Transport(1, MAX_ANSWER_BYTES, flags.tls())) {
      ManagedChannel channel = transport.channel(server);
      try {
        return HealthGrpc.newBlockingStub(flags.withToken(channel))
            .withDeadlineAfter(TIMEOUT_SECONDS, TimeUnit.SECONDS)
            .check(HealthCheckRequest.getDefaultInstance())
            .getStatus();
      } finally {
        channel.shutdownNow();
      }
    }
  }
}
