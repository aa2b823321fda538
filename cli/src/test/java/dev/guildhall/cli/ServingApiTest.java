package dev.guildhall.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.ByteString;
import dev.guildhall.proto.DescribeLayerRequest;
import dev.guildhall.proto.DescribeLayerResponse;
import dev.guildhall.proto.Dtype;
import dev.guildhall.proto.ExpertHosts;
import dev.guildhall.proto.ForwardRequest;
import dev.guildhall.proto.ForwardResponse;
import dev.guildhall.proto.LayerSummary;
import dev.guildhall.proto.ListLayersRequest;
import dev.guildhall.proto.MoeLayerServiceGrpc;
import dev.guildhall.repository.LayerRepository;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.health.v1.HealthCheckRequest;
import io.grpc.health.v1.HealthCheckResponse.ServingStatus;
import io.grpc.health.v1.HealthGrpc;
import io.grpc.reflection.v1.ServerReflectionGrpc;
import io.grpc.reflection.v1.ServerReflectionRequest;
import io.grpc.reflection.v1.ServerReflectionResponse;
import io.grpc.reflection.v1.ServiceResponse;
import io.grpc.stub.StreamObserver;
import java.nio.file.Path;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;

/** The serving API as any gRPC client with generated stubs sees it. */
class ServingApiTest {
  private static final int HIDDEN = 8;
  private static final int EXPERTS = 4;

  /** k = 2 without drops. */
  private static final String PAIR = "pair";

  /** k = 1 with random token selection and tight capacity. */
  private static final String TIGHT = "tight";

  @TempDir private static Path folder;

  private static ServedSystem system;

  @BeforeAll
  static void start() throws Exception {
    LayerFiles.mlp(
        folder,
        PAIR,
        """
        {"hidden_size": 8, "num_experts": 4, "k": 2, "drop_tokens": false,
         "top2_2nd_expert_sampling": false}
        """);
    LayerFiles.mlp(
        folder,
        TIGHT,
        """
        {"hidden_size": 8, "num_experts": 4, "k": 1, "eval_capacity_factor": 0.5,
         "min_capacity": 1}
        """);
    system = ServedSystem.start(LayerRepository.open(folder));
  }

  @AfterAll
  static void stop() {
    system.close();
  }

  static Stream<Arguments> shapes() {
    return Stream.of(
        Arguments.of(List.of((long) HIDDEN)),
        Arguments.of(List.of(6L, (long) HIDDEN)),
        Arguments.of(List.of(2L, 3L, (long) HIDDEN)),
        Arguments.of(List.of(1L, 2L, 3L, (long) HIDDEN)));
  }

  @ParameterizedTest
  @MethodSource("shapes")
  void takesAnyLeadingShapeAndAnswersInTheSame(List<Long> shape) {
    int elements = (int) shape.stream().mapToLong(Long::longValue).reduce(1, (a, b) -> a * b);
    float[] hiddenStates = Tensors.random(1, elements);
    long[] dimensions = shape.stream().mapToLong(Long::longValue).toArray();
    ForwardResponse response =
        system.client().forward(Requests.of(PAIR, hiddenStates, dimensions).build());
    assertEquals(shape, response.getShapeList());
    assertEquals(Dtype.DTYPE_FP32, response.getDtype());
    ForwardResponse flat =
        system.client().forward(Requests.of(PAIR, hiddenStates, elements / HIDDEN, HIDDEN).build());
    assertEquals(flat.getOutput(), response.getOutput());
    assertEquals(EXPERTS, response.getExpCountsCount());
    assertEquals(
        2L * elements / HIDDEN,
        response.getExpCountsList().stream().mapToLong(Long::longValue).sum());
  }

  @ParameterizedTest
  @EnumSource(
      value = Dtype.class,
      names = {"DTYPE_FP16", "DTYPE_BF16"})
  void answersInTheDtypeOfTheRequest(Dtype dtype) {
    var narrow =
        dtype == Dtype.DTYPE_FP16
            ? dev.guildhall.tensor.DType.FP16
            : dev.guildhall.tensor.DType.BF16;
    ByteString hiddenStates = Tensors.bytes(narrow, Tensors.random(2, 5 * HIDDEN));
    ForwardResponse response =
        system
            .client()
            .forward(
                Requests.of(PAIR, new float[0], 5, HIDDEN)
                    .setDtype(dtype)
                    .setHiddenStates(hiddenStates)
                    .build());
    assertEquals(dtype, response.getDtype());
    ForwardResponse exact =
        system
            .client()
            .forward(Requests.of(PAIR, Tensors.floats(narrow, hiddenStates), 5, HIDDEN).build());
    // The same request in fp32, and its output rounded once.
    assertEquals(Tensors.bytes(narrow, Tensors.floats(exact.getOutput())), response.getOutput());
  }

  @ParameterizedTest
  @MethodSource("emptyShapes")
  void zeroTokensAnswerZeroTokens(List<Long> shape) {
    long[] dimensions = shape.stream().mapToLong(Long::longValue).toArray();
    ForwardResponse response =
        system.client().forward(Requests.of(PAIR, new float[0], dimensions).build());
    assertEquals(shape, response.getShapeList());
    assertEquals(ByteString.EMPTY, response.getOutput());
    assertEquals(Collections.nCopies(EXPERTS, 0L), response.getExpCountsList());
    assertTrue(Float.isFinite(response.getLAux()), "l_aux " + response.getLAux());
  }

  static Stream<Arguments> emptyShapes() {
    return Stream.of(
        Arguments.of(List.of(0L, (long) HIDDEN)), Arguments.of(List.of(3L, 0L, (long) HIDDEN)));
  }

  @Test
  void givesTheRoutesWhenAskedTo() {
    ForwardRequest.Builder request = Requests.random(PAIR, 3, HIDDEN, 3);
    assertFalse(system.client().forward(request.build()).hasRoutes());
    ForwardResponse response = system.client().forward(request.setReturnRoutes(true).build());
    assertEquals(2 * 3, response.getRoutes().getExpertCount());
    assertEquals(2 * 3, response.getRoutes().getSlotCount());
    for (int token = 0; token < 3; token++) {
      assertNotEquals(
          response.getRoutes().getExpert(token), response.getRoutes().getExpert(3 + token));
      assertEquals(
          1f,
          response.getRoutes().getWeight(token) + response.getRoutes().getWeight(3 + token),
          1e-6f);
    }
  }

  @Test
  void aSeedRepeatsTheRandomChoiceOfRoutes() {
    ForwardRequest.Builder request =
        Requests.random(TIGHT, 64, HIDDEN, 4).setReturnRoutes(true).setSeed(17);
    ForwardResponse first = system.client().forward(request.build());
    assertEquals(8, first.getCapacity());
    assertTrue(first.getDroppedRoutes() > 0);
    assertEquals(first, system.client().forward(request.build()));
    assertNotEquals(
        first.getRoutes(), system.client().forward(request.setSeed(18).build()).getRoutes());
    ForwardRequest unseeded = request.clearSeed().build();
    assertNotEquals(
        system.client().forward(unseeded).getRoutes(),
        system.client().forward(unseeded).getRoutes());
  }

  @Test
  void anUnusedTokenHasNoRouteAndAZeroOutput() {
    ForwardResponse response =
        system
            .client()
            .forward(
                Requests.random(PAIR, 3, HIDDEN, 5)
                    .addAllUsedToken(List.of(true, false, true))
                    .setReturnRoutes(true)
                    .build());
    assertEquals(-1, response.getRoutes().getExpert(1));
    assertEquals(-1, response.getRoutes().getExpert(3 + 1));
    float[] output = Tensors.floats(response.getOutput());
    for (int d = 0; d < HIDDEN; d++) {
      assertEquals(0f, output[HIDDEN + d]);
    }
    assertEquals(4, response.getExpCountsList().stream().mapToLong(Long::longValue).sum());
  }

  static Stream<Arguments> badRequests() {
    ForwardRequest good = Requests.random(PAIR, 2, HIDDEN, 6).build();
    return Stream.of(
        bad("unknown layer", good.toBuilder().setLayer("pear"), "pear", "pair, tight")
            .with(Status.Code.NOT_FOUND),
        bad("a way out", good.toBuilder().setLayer("../tight/../pair"), "../tight/../pair")
            .with(Status.Code.NOT_FOUND),
        bad("a file", good.toBuilder().setLayer("/etc/passwd"), "/etc/passwd", "pair, tight")
            .with(Status.Code.NOT_FOUND),
        bad("no layer", good.toBuilder().setLayer(""), "layer is \"\"", "pair, tight")
            .with(Status.Code.NOT_FOUND),
        bad("no dtype", good.toBuilder().clearDtype(), "DTYPE_UNSPECIFIED", "DTYPE_FP32"),
        bad("unknown dtype", good.toBuilder().setDtypeValue(77), "UNRECOGNIZED", "DTYPE_FP32"),
        bad("no shape", good.toBuilder().clearShape(), "shape is []", "[..., 8]"),
        bad("wrong last dimension", shape(good, 2, 9), "shape is [2, 9]", "[..., 8]"),
        bad("negative dimension", shape(good, -2, 8), "shape is [-2, 8]", "from 0"),
        bad("huge dimension", shape(good, 1L << 40, 8), "1099511627776", "2147483647 tokens"),
        bad("huge product", shape(good, 1L << 30, 1L << 30, 8), "1073741824", "2147483647 tokens"),
        bad("largest product", shape(good, Long.MAX_VALUE, Long.MAX_VALUE, 8), "2147483647 tokens"),
        bad("bytes for more tokens", shape(good, 1, 8), "has 64 bytes", "allowed is 32"),
        bad("bytes for fewer tokens", shape(good, 3, 8), "has 64 bytes", "allowed is 96"),
        bad("no bytes", good.toBuilder().clearHiddenStates(), "has 0 bytes", "allowed is 64"),
        bad("too few masks", good.toBuilder().addUsedToken(true), "has 1 values", "2, or none"),
        bad("NaN", values(good, 5, Float.NaN), "NaN at element 5", "finite"),
        bad("infinity", values(good, 15, Float.NEGATIVE_INFINITY), "-Infinity at element 15"),
        bad(
            "more tokens than ever fit",
            Requests.random(PAIR, 4097, HIDDEN, 7),
            "4097 tokens",
            "up to 4096"),
        bad("more bytes than the limit", Requests.random(PAIR, 40_000, HIDDEN, 8), "1048576")
            .with(Status.Code.RESOURCE_EXHAUSTED));
  }

  private record Bad(String name, ForwardRequest request, Status.Code code, List<String> message)
      implements Arguments {
    Bad with(Status.Code other) {
      return new Bad(name, request, other, message);
    }

    @Override
    public Object[] get() {
      return new Object[] {name, request, code, message};
    }
  }

  private static Bad bad(String name, ForwardRequest.Builder request, String... message) {
    return new Bad(name, request.build(), Status.Code.INVALID_ARGUMENT, List.of(message));
  }

  private static ForwardRequest.Builder shape(ForwardRequest good, long... shape) {
    ForwardRequest.Builder request = good.toBuilder().clearShape();
    for (long dimension : shape) {
      request.addShape(dimension);
    }
    return request;
  }

  private static ForwardRequest.Builder values(ForwardRequest good, int index, float value) {
    float[] values = Tensors.floats(good.getHiddenStates());
    values[index] = value;
    return good.toBuilder().setHiddenStates(Tensors.bytes(values));
  }

  @ParameterizedTest(name = "{0}")
  @MethodSource("badRequests")
  void refuses(String name, ForwardRequest request, Status.Code code, List<String> message) {
    StatusRuntimeException e =
        assertThrows(StatusRuntimeException.class, () -> system.client().forward(request));
    assertEquals(code, e.getStatus().getCode(), name + ": " + e.getMessage());
    for (String part : message) {
      assertTrue(String.valueOf(e.getMessage()).contains(part), e.getMessage());
    }
    assertEquals(2 * HIDDEN * 4, goodOne().getOutput().size());
  }

  private static ForwardResponse goodOne() {
    return system.client().forward(Requests.random(PAIR, 2, HIDDEN, 6).build());
  }

  @Test
  void aStreamAnswersManyRequestsByIdAndSurvivesBadOnes() throws Exception {
    int requests = 300;
    Recorded<ForwardResponse> answers = new Recorded<>();
    StreamObserver<ForwardRequest> stream =
        MoeLayerServiceGrpc.newStub(system.channel()).forwardStream(answers);
    for (int id = 0; id < requests; id++) {
      ForwardRequest.Builder request = Requests.random(PAIR, 1 + id % 3, HIDDEN, id % 7).setId(id);
      stream.onNext(id % 50 == 49 ? request.setLayer("pear").build() : request.build());
    }
    stream.onCompleted();
    Map<Long, ForwardResponse> byId =
        answers.all().stream().collect(Collectors.toMap(ForwardResponse::getId, answer -> answer));
    assertEquals(requests, byId.size());
    byId.forEach((id, answer) -> {
      if (id % 50 == 49) {
        assertEquals(Status.Code.NOT_FOUND.value(), answer.getError().getCode());
        assertTrue(answer.getError().getMessage().contains("pear"), answer.toString());
      } else {
        assertFalse(answer.hasError(), answer.toString());
        ForwardRequest alone = Requests.random(PAIR, (int) (1 + id % 3), HIDDEN, id % 7).build();
        Tensors.assertClose(
            Tensors.floats(system.client().forward(alone).getOutput()),
            Tensors.floats(answer.getOutput()),
            1e-5);
      }
    });
  }

  @Test
  void listsAndDescribesTheLayers() {
    List<LayerSummary> layers =
        system.client().listLayers(ListLayersRequest.getDefaultInstance()).getLayersList();
    assertEquals(List.of(PAIR, TIGHT), layers.stream().map(LayerSummary::getName).toList());
    assertTrue(layers.stream().allMatch(LayerSummary::getReady));
    DescribeLayerResponse description =
        system.client().describeLayer(DescribeLayerRequest.newBuilder().setLayer(TIGHT).build());
    assertEquals(layers.getLast(), description.getSummary());
    assertEquals(0.5, description.getConfig().getEvalCapacityFactor());
    assertEquals(
        List.of(0, 1, 2, 3),
        description.getExpertsList().stream().map(ExpertHosts::getExpert).toList());
    assertTrue(
        description.getExpertsList().stream().allMatch(hosts -> hosts.getReplicasCount() == 1));
    StatusRuntimeException e =
        assertThrows(
            StatusRuntimeException.class,
            () ->
                system
                    .client()
                    .describeLayer(DescribeLayerRequest.newBuilder().setLayer("pear").build()));
    assertEquals(Status.Code.NOT_FOUND, e.getStatus().getCode());
  }

  @Test
  void anyClientCanAskForHealthAndForTheServices() throws Exception {
    for (String service : List.of("", "guildhall.v1.MoeLayerService")) {
      assertEquals(
          ServingStatus.SERVING,
          HealthGrpc.newBlockingStub(system.channel())
              .check(HealthCheckRequest.newBuilder().setService(service).build())
              .getStatus());
    }
    Recorded<ServerReflectionResponse> answers = new Recorded<>();
    StreamObserver<ServerReflectionRequest> reflection =
        ServerReflectionGrpc.newStub(system.channel()).serverReflectionInfo(answers);
    reflection.onNext(ServerReflectionRequest.newBuilder().setListServices("").build());
    reflection.onNext(
        ServerReflectionRequest.newBuilder()
            .setFileContainingSymbol("guildhall.v1.MoeLayerService.Forward")
            .build());
    reflection.onCompleted();
    List<ServerReflectionResponse> responses = answers.all();
    assertTrue(
        responses.getFirst().getListServicesResponse().getServiceList().stream()
            .map(ServiceResponse::getName)
            .toList()
            .containsAll(List.of("guildhall.v1.MoeLayerService", "grpc.health.v1.Health")));
    assertTrue(responses.getLast().getFileDescriptorResponse().getFileDescriptorProtoCount() > 0);
  }

  @Test
  void requestsThatAreNotRunAreCounted() throws Exception {
    double before = system.refused("NOT_FOUND");
    assertThrows(
        StatusRuntimeException.class,
        () -> system.client().forward(Requests.random("no such layer", 1, 4, 1).build()));
    assertEquals(before + 1, system.refused("NOT_FOUND"));
  }

  @Test
  void metricsAreReadableAndCountWhatWasServed() throws Exception {
    goodOne();
    String text = system.metrics();
    for (String line : text.lines().toList()) {
      assertTrue(
          line.matches("# (HELP|TYPE) \\w+ .*")
              || line.matches(
                  "[a-zA-Z_:][\\w:]*(\\{(\\w+=\"([^\"\\\\]|\\\\.)*\",?)*\\})? [-+\\w.]+"),
          line);
    }
    for (String metric :
        List.of(
            "guildhall_requests_total{layer=\"pair\",status=\"OK\"}",
            "guildhall_request_duration_seconds_count{layer=\"pair\"}",
            "guildhall_tokens_total{layer=\"pair\"}",
            "guildhall_routes_total{expert=",
            "guildhall_routes_dropped_total{layer=\"pair\"}",
            "guildhall_fanout_duration_seconds_bucket{layer=\"pair\",le=",
            "guildhall_tokens_in_flight",
            "guildhall_replicas",
            "guildhall_experts_without_host{layer=\"pair\"}",
            "guildhall_expert_rows_total{expert=",
            "guildhall_expert_compute_duration_seconds_count{expert=",
            "guildhall_expert_queue_duration_seconds_count{layer=\"pair\"}",
            "guildhall_expert_block_rows_count{layer=\"pair\"}",
            "guildhall_expert_queued_rows")) {
      assertTrue(text.lines().anyMatch(line -> line.startsWith(metric)), metric + "\n" + text);
    }
  }
}
