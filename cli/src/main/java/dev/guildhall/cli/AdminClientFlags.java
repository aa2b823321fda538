package dev.guildhall.cli;

import dev.guildhall.proto.AdminServiceGrpc;
import dev.guildhall.rpc.Transport;
import io.grpc.ManagedChannel;
import java.util.concurrent.TimeUnit;
import java.util.function.Function;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** How a command reaches the admin port of a server. */
final class AdminClientFlags {
  private static final int MAX_ANSWER_BYTES = 1 << 20;

  @Mixin private final ClientFlags client = new ClientFlags();

  @Option(
      names = "--admin",
      required = true,
      paramLabel = "HOST:PORT",
      description = "The admin port of a router or an expert service.")
  private String target = "";

  @Option(
      names = "--timeout-seconds",
      defaultValue = "600",
      paramLabel = "N",
      description = "Loading reads all of a layer's files. Default: ${DEFAULT-VALUE}.")
  private int timeoutSeconds;

  /** Makes one call. */
  <A> A call(Function<AdminServiceGrpc.AdminServiceBlockingStub, A> call) {
    try (Transport transport = new Transport(1, MAX_ANSWER_BYTES, client.tls())) {
      ManagedChannel channel = transport.channel(target);
      try {
        return call.apply(
            AdminServiceGrpc.newBlockingStub(client.withToken(channel))
                .withDeadlineAfter(timeoutSeconds, TimeUnit.SECONDS));
      } finally {
        channel.shutdownNow();
      }
    }
  }
}
