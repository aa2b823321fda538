package dev.guildhall.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.guildhall.proto.ForwardRequest;
import dev.guildhall.proto.ForwardResponse;
import dev.guildhall.proto.MoeLayerServiceGrpc;
import dev.guildhall.repository.LayerRepository;
import dev.guildhall.router.RouterOptions;
import dev.guildhall.router.RouterServer;
import dev.guildhall.rpc.Transport;
import io.grpc.ManagedChannel;
import io.grpc.Status;
import io.grpc.stub.StreamObserver;
import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import java.nio.file.Path;
import java.time.Duration;
import java.util.HashSet;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Clients of a router that lets no connection grow old. */
class ConnectionAgeTest {
  private static final String LAYER = "layer";
  private static final int HIDDEN = 8;
  private static final int STREAMS = 5;

  @TempDir private Path folder;

  private final Transport transport = new Transport(1, ServedSystem.MAX_MESSAGE_BYTES);
  private ExpertFleet experts;
  private RouterServer router;
  private ManagedChannel channel;

  @BeforeEach
  void start() throws Exception {
    LayerFiles.mlp(folder, LAYER, "{\"hidden_size\": 8, \"num_experts\": 2}");
    LayerRepository repository = LayerRepository.open(folder);
    SimpleMeterRegistry registry = new SimpleMeterRegistry();
    experts = ExpertFleet.start(repository, ExpertFleet.ranks(1), transport, registry);
    RouterOptions usual = ServedSystem.options(experts.targets());
    router =
        RouterServer.start(
            new RouterOptions(
                usual.experts(),
                usual.port(),
                usual.maxTokensInFlight(),
                usual.exchange(),
                usual.defaultTimeout(),
                Duration.ofMillis(100),
                usual.lookupInterval(),
                usual.callers()),
            repository,
            transport,
            transport::channel,
            registry);
    router.ready().get(30, TimeUnit.SECONDS);
    channel = transport.channel("localhost:" + router.port());
  }

  @AfterEach
  void stop() {
    channel.shutdownNow();
    router.close();
    experts.close();
    transport.close();
  }

  @Test
  void streamsEndWellAndEveryRequestIsAnsweredOnOneOfThem() throws Exception {
    Set<Long> answered = new HashSet<>();
    long next = 0;
    for (int stream = 0; stream < STREAMS; stream++) {
      Recorded<ForwardResponse> answers = new Recorded<>();
      StreamObserver<ForwardRequest> requests =
          MoeLayerServiceGrpc.newStub(channel).forwardStream(answers);
      while (!answers.isOver()) {
        int before = answers.soFar().size();
        requests.onNext(request(next++));
        Await.until("an answer", () -> answers.isOver() || answers.soFar().size() > before);
      }
      for (ForwardResponse answer : answers.all()) {
        if (!answer.hasError()) {
          assertTrue(answered.add(answer.getId()));
        } else {
          assertEquals(Status.Code.UNAVAILABLE.value(), answer.getError().getCode());
        }
      }
    }
    assertTrue(answered.size() >= next - STREAMS, "%d of %d".formatted(answered.size(), next));
  }

  @Test
  void unaryCallsNoticeNothing() {
    long end = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(500);
    for (long id = 0; System.nanoTime() < end; id++) {
      MoeLayerServiceGrpc.newBlockingStub(channel)
          .withDeadlineAfter(30, TimeUnit.SECONDS)
          .forward(request(id));
    }
  }

  private static ForwardRequest request(long id) {
    return Requests.random(LAYER, 1, HIDDEN, 1).setId(id).build();
  }
}
