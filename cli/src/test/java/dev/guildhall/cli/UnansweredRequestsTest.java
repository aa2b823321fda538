package dev.guildhall.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.guildhall.metrics.MetricNames;
import dev.guildhall.proto.ExchangeRequest;
import dev.guildhall.proto.ForwardRequest;
import dev.guildhall.proto.ForwardResponse;
import dev.guildhall.proto.MoeLayerServiceGrpc;
import dev.guildhall.repository.LayerRepository;
import dev.guildhall.router.RouterServer;
import dev.guildhall.rpc.Transport;
import io.grpc.Context;
import io.grpc.ManagedChannel;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.StreamObserver;
import io.micrometer.core.instrument.MeterRegistry;
import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What a router does with requests whose experts do not answer. */
class UnansweredRequestsTest {
  private static final String LAYER = "layer";
  private static final int HIDDEN = 8;

  @TempDir private Path folder;

  private final Transport transport = new Transport(1, 1 << 20);
  private final MeterRegistry registry = new SimpleMeterRegistry();
  private SilentExperts experts;
  private RouterServer router;
  private ManagedChannel channel;

  @BeforeEach
  void start() throws Exception {
    LayerFiles.mlp(
        folder, LAYER, "{\"hidden_size\": 8, \"num_experts\": 2, \"drop_tokens\": false}");
    experts = new SilentExperts(transport, LAYER, HIDDEN, 2);
    router =
        RouterServer.start(
            ServedSystem.options(List.of(experts.target())),
            LayerRepository.open(folder),
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
  void aCallersDeadlineEndsTheCallAndTheBatch() {
    StatusRuntimeException e =
        assertThrows(
            StatusRuntimeException.class,
            () ->
                MoeLayerServiceGrpc.newBlockingStub(channel)
                    .withDeadlineAfter(200, TimeUnit.MILLISECONDS)
                    .forward(request(3)));
    assertEquals(Status.Code.DEADLINE_EXCEEDED, e.getStatus().getCode());
    awaitNothingInFlight();
    awaitCancelledBatches();
  }

  @Test
  void aStreamedRequestsTimeoutAnswersDeadlineExceeded() {
    Recorded<ForwardResponse> answers = new Recorded<>();
    StreamObserver<ForwardRequest> stream =
        MoeLayerServiceGrpc.newStub(channel).forwardStream(answers);
    stream.onNext(request(3).toBuilder().setId(7).setTimeoutMs(200).build());
    ForwardResponse answer = answers.first(1).getFirst();
    assertEquals(7, answer.getId());
    assertEquals(Status.Code.DEADLINE_EXCEEDED.value(), answer.getError().getCode());
    assertTrue(answer.getError().getMessage().contains(LAYER), answer.toString());
    awaitNothingInFlight();
    awaitCancelledBatches();
    stream.onCompleted();
  }

  @Test
  void aCallerThatGivesUpFreesItsTokensAndCancelsItsBatches() {
    Context.CancellableContext context = Context.current().withCancellation();
    Recorded<ForwardResponse> answers = new Recorded<>();
    context.run(() -> MoeLayerServiceGrpc.newStub(channel).forward(request(5), answers));
    Await.until("the rows were sent", () -> rowsSent() == 5);
    assertEquals(5, tokensInFlight());
    context.cancel(null);
    awaitNothingInFlight();
    awaitCancelledBatches();
  }

  @Test
  void aStreamThatGoesAwayFreesTheTokensOfAllItsRequests() {
    Context.CancellableContext context = Context.current().withCancellation();
    Recorded<ForwardResponse> answers = new Recorded<>();
    context.run(() -> {
      StreamObserver<ForwardRequest> stream =
          MoeLayerServiceGrpc.newStub(channel).forwardStream(answers);
      for (int id = 0; id < 10; id++) {
        stream.onNext(request(2).toBuilder().setId(id).build());
      }
    });
    Await.until("the rows were sent", () -> rowsSent() == 20);
    context.cancel(null);
    awaitNothingInFlight();
    awaitCancelledBatches();
  }

  @Test
  void tokensBeyondTheLimitAreRefusedUntilOthersAreDone() {
    Context.CancellableContext context = Context.current().withCancellation();
    int most = (int) ServedSystem.MAX_TOKENS_IN_FLIGHT;
    context.run(
        () -> MoeLayerServiceGrpc.newStub(channel).forward(request(most - 1), new Recorded<>()));
    Await.until("the first request is in", () -> tokensInFlight() == most - 1);
    StatusRuntimeException e =
        assertThrows(
            StatusRuntimeException.class,
            () -> MoeLayerServiceGrpc.newBlockingStub(channel).forward(request(2)));
    assertEquals(Status.Code.RESOURCE_EXHAUSTED, e.getStatus().getCode());
    assertEquals(
        "4095 tokens are in flight and the request has 2; allowed are 4096 at once, try again"
            + " later",
        e.getStatus().getDescription());
    context.cancel(null);
    awaitNothingInFlight();
  }

  @Test
  void aFullRouterRefusesRequestsUnread() {
    Context.CancellableContext context = Context.current().withCancellation();
    int most = (int) ServedSystem.MAX_TOKENS_IN_FLIGHT;
    context.run(
        () -> MoeLayerServiceGrpc.newStub(channel).forward(request(most), new Recorded<>()));
    Await.until("the first request is in", () -> tokensInFlight() == most);
    StatusRuntimeException e =
        assertThrows(
            StatusRuntimeException.class,
            () -> MoeLayerServiceGrpc.newBlockingStub(channel).forward(request(1)));
    assertEquals(Status.Code.RESOURCE_EXHAUSTED, e.getStatus().getCode());
    assertEquals(
        "4096 tokens are in flight; allowed are 4096 at once, try again later",
        e.getStatus().getDescription());
    context.cancel(null);
    awaitNothingInFlight();
  }

  @Test
  void theLossOfTheReplicaFailsWhatItHasWithUnavailable() {
    Recorded<ForwardResponse> answers = new Recorded<>();
    StreamObserver<ForwardRequest> stream =
        MoeLayerServiceGrpc.newStub(channel).forwardStream(answers);
    stream.onNext(request(3).toBuilder().setId(1).build());
    Await.until("the rows were sent", () -> rowsSent() == 3);
    experts.close();
    ForwardResponse answer = answers.first(1).getFirst();
    assertEquals(Status.Code.UNAVAILABLE.value(), answer.getError().getCode());
    assertTrue(
        answer.getError().getMessage().startsWith("layer layer, experts "), answer.toString());
    awaitNothingInFlight();
    stream.onCompleted();
  }

  private static ForwardRequest request(int tokens) {
    return Requests.random(LAYER, tokens, HIDDEN, tokens).build();
  }

  private int rowsSent() {
    return experts.received().stream()
        .flatMap(batch -> batch.getRowCountsList().stream())
        .mapToInt(Integer::intValue)
        .sum();
  }

  private double tokensInFlight() {
    return registry.get(MetricNames.TOKENS_IN_FLIGHT).gauge().value();
  }

  private void awaitNothingInFlight() {
    Await.until("no token is in flight", () -> tokensInFlight() == 0);
  }

  /** Every batch sent was followed by its cancellation. */
  private void awaitCancelledBatches() {
    Await.until(
        "batches are cancelled",
        () -> {
          List<ExchangeRequest> received = experts.received();
          List<Long> cancelled = idsOf(received, true);
          return cancelled.containsAll(idsOf(received, false));
        });
  }

  private static List<Long> idsOf(List<ExchangeRequest> batches, boolean cancel) {
    return batches.stream()
        .filter(batch -> batch.getCancel() == cancel)
        .map(ExchangeRequest::getBatchId)
        .toList();
  }
}
