package dev.guildhall.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.guildhall.metrics.MetricNames;
import dev.guildhall.proto.ForwardRequest;
import dev.guildhall.proto.ForwardResponse;
import dev.guildhall.proto.MissingExperts;
import dev.guildhall.proto.MoeLayerServiceGrpc;
import dev.guildhall.repository.LayerRepository;
import dev.guildhall.router.RouterServer;
import dev.guildhall.rpc.Transport;
import io.grpc.ManagedChannel;
import io.grpc.Status;
import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * Experts that nobody hosts. Those that are hosted give rows back as they are, so that a token's
 * output is its input as long as the weights of its routes make one.
 */
class MissingExpertsTest {
  private static final String FAILS = "fails";
  private static final String DROPS = "drops";
  private static final int HIDDEN = 8;
  private static final int EXPERTS = 4;
  private static final int TOKENS = 64;
  private static final int K = 2;
  private static final String JSON =
      "{\"hidden_size\": 8, \"num_experts\": 4, \"k\": 2, \"drop_tokens\": false,"
          + " \"top2_2nd_expert_sampling\": false";

  @TempDir private Path folder;

  private final SimpleMeterRegistry registry = new SimpleMeterRegistry();
  private final Transport transport = new Transport(1, ServedSystem.MAX_MESSAGE_BYTES);
  private RouterServer router;
  private ManagedChannel channel;
  private SilentExperts low;
  private SilentExperts high;

  @BeforeEach
  void start() throws Exception {
    LayerFiles.mlp(folder, FAILS, JSON + "}");
    LayerFiles.mlp(folder, DROPS, JSON + ", \"missing_experts\": \"drop\"}");
    low = new SilentExperts(transport, DROPS, HIDDEN, EXPERTS, List.of(0, 1));
    high = new SilentExperts(transport, DROPS, HIDDEN, EXPERTS, List.of(2, 3));
    router =
        RouterServer.start(
            ServedSystem.options(List.of(low.target(), high.target())),
            LayerRepository.open(folder),
            transport,
            transport::channel,
            registry);
    Await.until("both replicas", () -> router.replicas().connected() == 2);
    channel = transport.channel("localhost:" + router.port());
  }

  @AfterEach
  void stop() {
    channel.shutdownNow();
    router.close();
    low.close();
    high.close();
    transport.close();
  }

  @Test
  void dropsTheRoutesOfExpertsWithoutHostAndSaysSo() throws Exception {
    high.close();
    Await.until("one replica", () -> router.replicas().connected() == 1);
    Future<ForwardResponse> answer = forward(request(DROPS));
    Await.until("the batch", () -> !low.received().isEmpty());
    low.answerAll();
    assertHighRoutesLost(answer.get(30, TimeUnit.SECONDS));
  }

  @Test
  void dropsTheRoutesOfABatchWhoseOnlyHostIsLost() throws Exception {
    Future<ForwardResponse> answer = forward(request(DROPS));
    Await.until("both batches", () -> !low.received().isEmpty() && !high.received().isEmpty());
    high.close();
    low.answerAll();
    assertHighRoutesLost(answer.get(30, TimeUnit.SECONDS));
  }

  @Test
  void losesNothingWhileEveryExpertHasAHost() throws Exception {
    Future<ForwardResponse> answer = forward(request(DROPS));
    Await.until("both batches", () -> !low.received().isEmpty() && !high.received().isEmpty());
    low.answerAll();
    high.answerAll();
    ForwardResponse response = answer.get(30, TimeUnit.SECONDS);
    assertEquals(0, response.getLostRoutes());
    assertEquals(List.of(), response.getLostExpertsList());
    Tensors.assertClose(input(), Tensors.floats(response.getOutput()), 1e-6);
  }

  @Test
  void failsWhereTheRequestAsksForIt() throws Exception {
    high.close();
    Await.until("one replica", () -> router.replicas().connected() == 1);
    assertUnavailable(
        request(DROPS).setMissingExperts(MissingExperts.MISSING_EXPERTS_FAIL),
        "layer drops: no replica hosts expert 2, expert 3");
  }

  @Test
  void failsByDefault() {
    assertUnavailable(
        request(FAILS), "layer fails: no replica hosts expert 0, expert 1, expert 2, expert 3");
  }

  @Test
  void aTokenWithoutAnyRouteIsZeroes() throws Exception {
    ForwardResponse response =
        forward(request(FAILS).setMissingExperts(MissingExperts.MISSING_EXPERTS_DROP))
            .get(30, TimeUnit.SECONDS);
    assertEquals(TOKENS * K, response.getLostRoutes());
    Tensors.assertClose(new float[TOKENS * HIDDEN], Tensors.floats(response.getOutput()), 0);
  }

  @Test
  void refusesAPolicyThatIsUnknown() {
    ExecutionException e =
        assertThrows(
            ExecutionException.class,
            () -> forward(request(DROPS).setMissingExpertsValue(7)).get(30, TimeUnit.SECONDS));
    assertEquals(Status.Code.INVALID_ARGUMENT, Status.fromThrowable(e).getCode());
  }

  private void assertHighRoutesLost(ForwardResponse response) {
    long lost = response.getExpCounts(2) + response.getExpCounts(3);
    assertTrue(lost > 0);
    assertEquals(lost, response.getLostRoutes());
    assertEquals(lost, response.getDroppedRoutes());
    assertEquals(List.of(2, 3), response.getLostExpertsList());
    assertEquals(
        (double) lost, registry.get(MetricNames.LOST_ROUTES).tag("layer", DROPS).counter().count());
    float[] expected = input();
    for (int token = 0; token < TOKENS; token++) {
      boolean routed = false;
      for (int choice = 0; choice < K; choice++) {
        int route = choice * TOKENS + token;
        int expert = response.getRoutes().getExpert(route);
        assertTrue(expert < 2, "expert " + expert);
        assertEquals(expert < 0, response.getRoutes().getWeight(route) == 0);
        routed |= expert >= 0;
      }
      for (int i = 0; i < HIDDEN && !routed; i++) {
        expected[token * HIDDEN + i] = 0;
      }
    }
    Tensors.assertClose(expected, Tensors.floats(response.getOutput()), 1e-6);
  }

  private void assertUnavailable(ForwardRequest.Builder request, String description) {
    ExecutionException e =
        assertThrows(ExecutionException.class, () -> forward(request).get(30, TimeUnit.SECONDS));
    Status status = Status.fromThrowable(e);
    assertEquals(Status.Code.UNAVAILABLE, status.getCode());
    assertEquals(description, status.getDescription());
  }

  private Future<ForwardResponse> forward(ForwardRequest.Builder request) {
    return MoeLayerServiceGrpc.newFutureStub(channel)
        .withDeadlineAfter(30, TimeUnit.SECONDS)
        .forward(request.build());
  }

  private static ForwardRequest.Builder request(String layer) {
    return Requests.random(layer, TOKENS, HIDDEN, 1).setReturnRoutes(true);
  }

  private static float[] input() {
    return Tensors.random(1, TOKENS * HIDDEN);
  }
}
