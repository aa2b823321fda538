package dev.guildhall.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.ByteString;
import dev.guildhall.metrics.Exemplars;
import dev.guildhall.metrics.Telemetry;
import dev.guildhall.proto.Error;
import dev.guildhall.proto.ExchangeRequest;
import dev.guildhall.proto.ExchangeResponse;
import dev.guildhall.proto.ForwardRequest;
import dev.guildhall.proto.ForwardResponse;
import dev.guildhall.proto.MoeLayerServiceGrpc;
import dev.guildhall.repository.LayerRepository;
import dev.guildhall.router.RouterServer;
import dev.guildhall.rpc.Transport;
import dev.guildhall.tracing.Tracing;
import dev.guildhall.tracing.TracingOptions;
import io.grpc.ManagedChannel;
import io.grpc.Status;
import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import java.net.URI;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.List;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.function.Function;
import java.util.function.Supplier;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * A batch that one of two replicas fails, or keeps, and the other one answers. Experts give rows
 * back as they are, so that the output of a layer of one expert is its input.
 */
class RepeatedBatchTest {
  private static final String LAYER = "layer";
  private static final int HIDDEN = 8;

  @TempDir private Path folder;

  private final Transport transport = new Transport(1, ServedSystem.MAX_MESSAGE_BYTES);
  private TraceCollector collector;
  private Tracing tracing;
  private SilentExperts one;
  private SilentExperts two;
  private RouterServer router;
  private ManagedChannel channel;

  @BeforeEach
  void start() throws Exception {
    LayerFiles.mlp(folder, LAYER, "{\"hidden_size\": 8, \"num_experts\": 1, \"k\": 1}");
    collector = TraceCollector.start();
    tracing = Tracing.start(new TracingOptions("router", URI.create(collector.endpoint()), 1));
    one = new SilentExperts(transport, LAYER, HIDDEN, 1);
    two = new SilentExperts(transport, LAYER, HIDDEN, 1);
    router =
        RouterServer.start(
            ServedSystem.options(List.of(one.target(), two.target())),
            LayerRepository.open(folder),
            transport,
            transport::channel,
            new Telemetry(new SimpleMeterRegistry(), new Exemplars(), tracing));
    Await.until("both replicas", () -> router.replicas().connected() == 2);
    channel = transport.channel("localhost:" + router.port());
  }

  @AfterEach
  void stop() {
    channel.shutdownNow();
    router.close();
    one.close();
    two.close();
    tracing.close();
    collector.close();
    transport.close();
  }

  @Test
  void aFullReplicasBatchGoesToTheOther() throws Exception {
    otherAnswersAfter(answer -> error(answer, Status.Code.RESOURCE_EXHAUSTED));
  }

  @Test
  void aFailedReplicasBatchGoesToTheOther() throws Exception {
    otherAnswersAfter(answer -> error(answer, Status.Code.INTERNAL));
  }

  @Test
  void aBatchAnsweredWithTooFewRowsGoesToTheOther() throws Exception {
    otherAnswersAfter(answer -> answer.setRows(ByteString.copyFrom(new byte[4])).build());
  }

  @Test
  void aBatchAnsweredWithNaNGoesToTheOther() throws Exception {
    float[] rows = new float[HIDDEN];
    rows[HIDDEN - 1] = Float.NaN;
    otherAnswersAfter(answer -> answer.setRows(Tensors.bytes(rows)).build());
  }

  private void otherAnswersAfter(Function<ExchangeResponse.Builder, ExchangeResponse> fault)
      throws Exception {
    Future<ForwardResponse> answer = forward();
    SilentExperts first = holder();
    SilentExperts second = first == one ? two : one;
    int batches = first.received().size();
    first.answerAll(fault);
    Await.until("the other has it", () -> second.received().size() == batches);
    second.answerAll();
    assertIsInput(answer.get(30, TimeUnit.SECONDS));
    List<TraceCollector.Received> dispatches = dispatches();
    assertTrue(dispatches.getFirst().failed());
    assertFalse(dispatches.getLast().failed());
    assertFalse(dispatches.getLast().tags().containsKey("guildhall.hedge"));
  }

  /** Both attempts; the second says what it repeats. */
  private List<TraceCollector.Received> dispatches() {
    Supplier<List<TraceCollector.Received>> come =
        () ->
            spans("dispatch").stream()
                .sorted(Comparator.comparing(span -> span.tags().get("guildhall.attempt")))
                .toList();
    Await.until("both spans", () -> come.get().size() == 2);
    assertEquals(List.of(0, 1), come.get().stream().map(TraceCollector.Received::links).toList());
    return come.get();
  }

  @Test
  void aBatchThatIsKeptIsAskedOfTheOtherAndTheFirstIsTold() throws Exception {
    Future<ForwardResponse> answer = forward();
    SilentExperts first = holder();
    SilentExperts second = first == one ? two : one;
    Await.until("the other is asked too", () -> !second.received().isEmpty());
    second.answerAll();
    assertIsInput(answer.get(30, TimeUnit.SECONDS));
    Await.until(
        "the first is told", () -> first.received().stream().anyMatch(ExchangeRequest::getCancel));
    List<TraceCollector.Received> dispatches = dispatches();
    assertEquals("true", dispatches.getFirst().tags().get("guildhall.given_up"));
    assertEquals("true", dispatches.getLast().tags().get("guildhall.hedge"));
  }

  @Test
  void aBatchThatBothFailFails() throws Exception {
    Future<ForwardResponse> answer = forward();
    SilentExperts first = holder();
    SilentExperts second = first == one ? two : one;
    first.answerAll(response -> error(response, Status.Code.INTERNAL));
    Await.until("the other has it", () -> !second.received().isEmpty());
    second.answerAll(response -> error(response, Status.Code.UNAUTHENTICATED));
    ExecutionException e =
        assertThrows(ExecutionException.class, () -> answer.get(30, TimeUnit.SECONDS));
    assertEquals(Status.Code.UNAVAILABLE, Status.fromThrowable(e).getCode());
  }

  @Test
  void aRequestThatIsGivenUpIsNoErrorInItsTrace() {
    Future<ForwardResponse> answer = forward();
    SilentExperts asked = holder();
    answer.cancel(true);
    Await.until(
        "the request's span", () -> spans("guildhall.v1.MoeLayerService/Forward").size() == 1);
    Await.until(
        "the replica is told",
        () -> asked.received().stream().anyMatch(ExchangeRequest::getCancel));
    for (TraceCollector.Received span : collector.spans()) {
      assertFalse(span.failed(), span::toString);
    }
    TraceCollector.Received request = spans("guildhall.v1.MoeLayerService/Forward").getFirst();
    assertEquals("true", request.tags().get("guildhall.given_up"));
  }

  private List<TraceCollector.Received> spans(String name) {
    return collector.spans().stream().filter(span -> span.name().equals(name)).toList();
  }

  private Future<ForwardResponse> forward() {
    return MoeLayerServiceGrpc.newFutureStub(channel)
        .withDeadlineAfter(30, TimeUnit.SECONDS)
        .forward(request());
  }

  /** Whoever has the batch first. */
  private SilentExperts holder() {
    Await.until("one has it", () -> one.received().size() + two.received().size() > 0);
    return one.received().isEmpty() ? two : one;
  }

  private static ForwardRequest request() {
    return Requests.random(LAYER, 1, HIDDEN, 1).build();
  }

  private static void assertIsInput(ForwardResponse answer) {
    Tensors.assertClose(
        Tensors.floats(request().getHiddenStates()), Tensors.floats(answer.getOutput()), 1e-6);
  }

  private static ExchangeResponse error(ExchangeResponse.Builder answer, Status.Code code) {
    return answer
        .clearRows()
        .setError(Error.newBuilder().setCode(code.value()).setMessage("as the test wants"))
        .build();
  }
}
