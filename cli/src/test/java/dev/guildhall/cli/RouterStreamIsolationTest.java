package dev.guildhall.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.guildhall.client.RouterClient;
import dev.guildhall.client.RouterConnection;
import dev.guildhall.client.RouterStream;
import dev.guildhall.proto.ForwardRequest;
import dev.guildhall.proto.ForwardResponse;
import io.grpc.ManagedChannel;
import io.grpc.Status;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;

/** The Java client's stream, and a router that ends it. */
class RouterStreamIsolationTest {
  private static final ForwardRequest SMALL = Requests.random("digits", 1, 128, 1).build();
  private static final ForwardRequest TOO_LARGE =
      Requests.random("digits", ServedSystem.MAX_MESSAGE_BYTES / 4 / 128 + 1, 128, 1).build();

  @Test
  void oneRequestThatIsTooLargeFailsAlone() throws Exception {
    try (ServedSystem system = ServedSystem.start(Digits.repository())) {
      ManagedChannel channel = RouterConnection.to("localhost:" + system.port()).open();
      RouterClient client = new RouterClient(channel, Duration.ofSeconds(30));
      try (RouterStream stream = client.stream(64)) {
        List<CompletableFuture<ForwardResponse>> answers = new ArrayList<>();
        for (int i = 0; i < 32; i++) {
          answers.add(stream.send(SMALL));
        }
        CompletableFuture<ForwardResponse> refused = stream.send(TOO_LARGE);
        for (int i = 0; i < 31; i++) {
          answers.add(stream.send(SMALL));
        }
        for (CompletableFuture<ForwardResponse> answer : answers) {
          assertEquals(128, answer.get(30, TimeUnit.SECONDS).getShape(1));
        }
        Status status =
            Status.fromThrowable(
                assertThrows(ExecutionException.class, () -> refused.get(30, TimeUnit.SECONDS)));
        assertEquals(Status.Code.RESOURCE_EXHAUSTED, status.getCode(), status.toString());
      } finally {
        channel.shutdownNow();
      }
    }
  }
}
