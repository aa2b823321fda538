package dev.guildhall.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;

import dev.guildhall.proto.ForwardRequest;
import dev.guildhall.proto.ForwardResponse;
import dev.guildhall.proto.MoeLayerServiceGrpc;
import dev.guildhall.repository.LayerRepository;
import dev.guildhall.router.RouterServer;
import dev.guildhall.rpc.Transport;
import io.grpc.ManagedChannel;
import io.grpc.StatusRuntimeException;
import io.grpc.health.v1.HealthCheckRequest;
import io.grpc.health.v1.HealthCheckResponse.ServingStatus;
import io.grpc.health.v1.HealthGrpc;
import io.grpc.stub.StreamObserver;
import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A router that closes answers what it has taken and ends its streams well. */
class RouterDrainTest {
  private static final String LAYER = "layer";
  private static final int HIDDEN = 8;
  private static final int REQUESTS = 3;

  @TempDir private Path folder;

  @Test
  void streamsEndWellOnceWhatTheyAskedForIsAnswered() throws Exception {
    LayerFiles.mlp(folder, LAYER, "{\"hidden_size\": 8, \"num_experts\": 2}");
    try (Transport transport = new Transport(1, ServedSystem.MAX_MESSAGE_BYTES);
        SilentExperts experts = new SilentExperts(transport, LAYER, HIDDEN, 2);
        RouterServer router =
            RouterServer.start(
                ServedSystem.options(List.of(experts.target())),
                LayerRepository.open(folder),
                transport,
                transport::channel,
                new SimpleMeterRegistry())) {
      router.ready().get(30, TimeUnit.SECONDS);
      ManagedChannel channel = transport.channel("localhost:" + router.port());
      try {
        Recorded<ForwardResponse> answers = new Recorded<>();
        StreamObserver<ForwardRequest> requests =
            MoeLayerServiceGrpc.newStub(channel).forwardStream(answers);
        for (int id = 0; id < REQUESTS; id++) {
          requests.onNext(request(id));
        }
        Await.until("the router has sent them on", () -> experts.received().size() == REQUESTS);

        CompletableFuture<Void> closed = CompletableFuture.runAsync(router::close);
        Await.until("it drains", () -> !isServing(channel));
        experts.answerAll();
        assertEquals(REQUESTS, answers.all().size());
        answers.soFar().forEach(answer -> assertFalse(answer.hasError()));
        closed.get(30, TimeUnit.SECONDS);
      } finally {
        channel.shutdownNow();
      }
    }
  }

  /** Not either when it takes no new calls. */
  private static boolean isServing(ManagedChannel channel) {
    try {
      return HealthGrpc.newBlockingStub(channel)
              .withDeadlineAfter(10, TimeUnit.SECONDS)
              .check(HealthCheckRequest.getDefaultInstance())
              .getStatus()
          == ServingStatus.SERVING;
    } catch (StatusRuntimeException e) {
      return false;
    }
  }

  private static ForwardRequest request(int id) {
    return Requests.random(LAYER, 1, HIDDEN, id).setId(id).build();
  }
}
