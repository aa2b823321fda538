package dev.guildhall.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.guildhall.proto.MoeLayerServiceGrpc;
import dev.guildhall.rpc.Transport;
import io.grpc.ManagedChannel;
import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A server whose collector is not there, says nothing, or was never asked for. */
class CollectorTroubleTest {
  private static final int REQUESTS = 20;

  @TempDir private Path folder;

  @Test
  void aCollectorThatHangsHarmsNothing() throws Exception {
    try (TraceCollector collector = TraceCollector.silent()) {
      serves(
          List.of("--otlp-endpoint=" + collector.endpoint()),
          () -> Await.until("spans are sent", () -> collector.requests() > 0));
    }
  }

  @Test
  void aCollectorThatIsNotThereHarmsNothing() throws Exception {
    serves(List.of("--otlp-endpoint=http://localhost:" + closedPort()), () -> {});
  }

  @Test
  void nothingIsSentWhenNobodyAsksForIt() throws Exception {
    try (TraceCollector collector = TraceCollector.start()) {
      serves(List.of(), () -> {});
      assertEquals(0, collector.requests());
    }
  }

  @Test
  void anEndpointThatIsNoneIsRefused() throws Exception {
    try (CommandProcess server = serve(List.of("--otlp-endpoint=localhost:4318"))) {
      assertEquals(1, server.exitCode());
      assertTrue(server.err().contains("allowed is http://HOST:PORT"), server.err());
    }
  }

  private void serves(List<String> flags, Runnable meanwhile) throws Exception {
    try (CommandProcess server = serve(flags);
        Transport transport = new Transport(1, 1 << 20)) {
      ManagedChannel channel = transport.channel("localhost:" + server.port("grpc"));
      try {
        for (int i = 0; i < REQUESTS; i++) {
          MoeLayerServiceGrpc.newBlockingStub(channel)
              .withDeadlineAfter(30, TimeUnit.SECONDS)
              .forward(Requests.random(Digits.LAYER, 4, Digits.HIDDEN_SIZE, i).build());
        }
      } finally {
        channel.shutdownNow();
      }
      meanwhile.run();
      server.terminate();
      // Killed by its own limit it would end with another.
      assertEquals(0, server.exitCode(), server.err());
      assertEquals(1, server.out().lines().count(), server.out());
    }
  }

  private CommandProcess serve(List<String> flags) throws IOException {
    List<String> arguments =
        new ArrayList<>(
            List.of(
                "serve",
                "--repository=" + Digits.REPOSITORY,
                "--port=0",
                "--http-port=0",
                "--metrics-port=0"));
    arguments.addAll(flags);
    return CommandProcess.start(folder, arguments.toArray(String[]::new));
  }

  private static int closedPort() throws IOException {
    try (ServerSocket socket = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
      return socket.getLocalPort();
    }
  }
}
