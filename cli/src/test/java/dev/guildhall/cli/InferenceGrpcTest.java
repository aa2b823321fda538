package dev.guildhall.cli;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.common.primitives.Booleans;
import com.google.common.primitives.Floats;
import com.google.common.primitives.Longs;
import com.google.protobuf.ByteString;
import dev.guildhall.proto.ForwardResponse;
import dev.guildhall.proto.inference.GRPCInferenceServiceGrpc;
import dev.guildhall.proto.inference.InferParameter;
import dev.guildhall.proto.inference.InferTensorContents;
import dev.guildhall.proto.inference.ModelInferRequest;
import dev.guildhall.proto.inference.ModelInferRequest.InferInputTensor;
import dev.guildhall.proto.inference.ModelInferRequest.InferRequestedOutputTensor;
import dev.guildhall.proto.inference.ModelInferResponse;
import dev.guildhall.proto.inference.ModelInferResponse.InferOutputTensor;
import dev.guildhall.proto.inference.ModelMetadataRequest;
import dev.guildhall.proto.inference.ModelMetadataResponse;
import dev.guildhall.proto.inference.ModelReadyRequest;
import dev.guildhall.proto.inference.ModelStatistics;
import dev.guildhall.proto.inference.ModelStatisticsRequest;
import dev.guildhall.proto.inference.ModelStreamInferResponse;
import dev.guildhall.proto.inference.RepositoryIndexRequest;
import dev.guildhall.proto.inference.RepositoryIndexResponse.ModelIndex;
import dev.guildhall.proto.inference.RepositoryModelLoadRequest;
import dev.guildhall.proto.inference.RepositoryModelUnloadRequest;
import dev.guildhall.proto.inference.ServerLiveRequest;
import dev.guildhall.proto.inference.ServerMetadataRequest;
import dev.guildhall.proto.inference.ServerMetadataResponse;
import dev.guildhall.proto.inference.ServerReadyRequest;
import dev.guildhall.repository.LayerRepository;
import dev.guildhall.tensor.DType;
import io.grpc.ManagedChannel;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.netty.NettyChannelBuilder;
import io.grpc.stub.StreamObserver;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * The Open Inference Protocol as any gRPC client with generated stubs sees it, over a socket. The
 * stubs are those of our own file, whose every name, number and type InferProtocolTest holds to the
 * published definition.
 */
class InferenceGrpcTest {
  private static final double TOLERANCE = 1e-4;

  @TempDir private static Path folder;

  private static LeakWatch leaks;
  private static ServedSystem system;
  private static ManagedChannel channel;

  @BeforeAll
  static void start() throws Exception {
    leaks = new LeakWatch();
    InferenceModels.write(folder);
    system = ServedSystem.start(LayerRepository.open(folder));
    // Nothing of ours but the stubs.
    channel =
        NettyChannelBuilder.forTarget("localhost:" + system.port())
            .usePlaintext()
            .maxInboundMessageSize(16 << 20)
            .build();
  }

  @AfterAll
  static void stop() {
    channel.shutdownNow();
    system.close();
    leaks.close();
  }

  private static GRPCInferenceServiceGrpc.GRPCInferenceServiceBlockingStub client() {
    return GRPCInferenceServiceGrpc.newBlockingStub(channel)
        .withDeadlineAfter(30, TimeUnit.SECONDS);
  }

  @ParameterizedTest
  @ValueSource(booleans = {true, false})
  void answersTheDigitsLayerAsDeepSpeedDid(boolean raw) {
    float[] hiddenStates = Tensors.floats(Digits.HELD_OUT, "hidden_states");
    ModelInferResponse response =
        client()
            .modelInfer(request(Digits.LAYER, raw, hiddenStates, 599, Digits.HIDDEN_SIZE).build());
    assertEquals(Digits.LAYER, response.getModelName());
    assertEquals(64, response.getModelVersion().length());
    assertEquals(List.of("output", "l_aux", "exp_counts"), names(response));
    assertEquals(List.of(599L, 128L), response.getOutputs(0).getShapeList());
    assertEquals(raw ? 3 : 0, response.getRawOutputContentsCount());
    Tensors.assertClose(
        Tensors.floats(Digits.HELD_OUT, "moe_output"), floats(response, "output"), TOLERANCE);
    Tensors.assertClose(
        Tensors.floats(Digits.HELD_OUT, "l_aux"), floats(response, "l_aux"), TOLERANCE);
    assertArrayEquals(Tensors.longs(Digits.HELD_OUT, "exp_counts"), longs(response, "exp_counts"));
  }

  @Test
  void isTheSameForwardAsOurOwnService() {
    float[] hiddenStates = Tensors.random(1, 2 * 3 * 8);
    ForwardResponse own =
        system.client().forward(Requests.of(InferenceModels.NESTED, hiddenStates, 2, 3, 8).build());
    ModelInferResponse response =
        client().modelInfer(request(InferenceModels.NESTED, true, hiddenStates, 2, 3, 8).build());
    assertEquals(own.getOutput(), response.getRawOutputContents(0));
    assertEquals(own.getShapeList(), response.getOutputs(0).getShapeList());
    assertEquals(own.getLAux(), floats(response, "l_aux")[0]);
    assertEquals(own.getExpCountsList(), Longs.asList(longs(response, "exp_counts")));
    assertEquals(own.getCapacity(), response.getParametersOrThrow("capacity").getInt64Param());
  }

  @ParameterizedTest
  @EnumSource(
      value = DType.class,
      names = {"FP16", "BF16"})
  void sixteenBitsComeBackAsSixteenBits(DType dtype) {
    float[] values = Tensors.random(2, 5 * 8);
    ByteString narrow = Tensors.bytes(dtype, values);
    ModelInferRequest request =
        ModelInferRequest.newBuilder()
            .setModelName(InferenceModels.NESTED)
            .addInputs(input("hidden_states", dtype.name(), 5, 8))
            .addRawInputContents(narrow)
            .build();
    ModelInferResponse response = client().modelInfer(request);
    assertEquals(dtype.name(), response.getOutputs(0).getDatatype());
    ModelInferResponse exact =
        client()
            .modelInfer(
                request(InferenceModels.NESTED, true, Tensors.floats(dtype, narrow), 5, 8).build());
    assertEquals(Tensors.bytes(dtype, floats(exact, "output")), response.getRawOutputContents(0));
    assertFails(
        Status.Code.INVALID_ARGUMENT,
        "input hidden_states is %s without raw_input_contents".formatted(dtype),
        request.toBuilder().clearRawInputContents());
  }

  static Stream<Arguments> usedTokens() {
    boolean[] used = {true, false, true, false};
    long[] numbers = {1, 0, 1, 0};
    ByteBuffer bytes = ByteBuffer.allocate(32).order(ByteOrder.LITTLE_ENDIAN);
    bytes.asLongBuffer().put(numbers);
    return Stream.of(
        Arguments.of("BOOL", true, ByteString.copyFrom(new byte[] {1, 0, 1, 0}), null),
        Arguments.of("INT64", true, ByteString.copyFrom(bytes), null),
        Arguments.of(
            "BOOL",
            false,
            null,
            InferTensorContents.newBuilder().addAllBoolContents(Booleans.asList(used)).build()),
        Arguments.of(
            "INT64",
            false,
            null,
            InferTensorContents.newBuilder().addAllInt64Contents(Longs.asList(numbers)).build()));
  }

  @ParameterizedTest
  @MethodSource("usedTokens")
  void tokensThatAreNotUsedTakeNoRoutes(
      String datatype, boolean raw, ByteString bytes, InferTensorContents contents) {
    ModelInferRequest.Builder request =
        request(InferenceModels.NESTED, raw, Tensors.random(3, 32), 4, 8);
    InferInputTensor.Builder used = input("used_token", datatype, 4);
    if (raw) {
      request.addRawInputContents(bytes);
    } else {
      used.setContents(contents);
    }
    ModelInferResponse response = client().modelInfer(request.addInputs(used).build());
    assertEquals(4, Arrays.stream(longs(response, "exp_counts")).sum());
    float[] output = floats(response, "output");
    assertArrayEquals(new float[8], Arrays.copyOfRange(output, 8, 16));
  }

  @Test
  void inputsMayComeInAnyOrder() {
    float[] hiddenStates = Tensors.random(3, 16);
    ModelInferResponse response =
        client()
            .modelInfer(
                ModelInferRequest.newBuilder()
                    .setModelName(InferenceModels.NESTED)
                    .addInputs(input("used_token", "BOOL", 2))
                    .addInputs(input("hidden_states", "FP32", 2, 8))
                    .addRawInputContents(ByteString.copyFrom(new byte[] {1, 1}))
                    .addRawInputContents(Tensors.bytes(hiddenStates))
                    .build());
    assertEquals(4, Arrays.stream(longs(response, "exp_counts")).sum());
  }

  @Test
  void parametersReachTheGate() {
    float[] hiddenStates = Tensors.random(4, 64 * 8);
    ModelInferRequest.Builder request = request(InferenceModels.TIGHT, true, hiddenStates, 64, 8);
    ModelInferResponse eval = client().modelInfer(request.build());
    request.putParameters("training", InferParameter.newBuilder().setBoolParam(true).build());
    request.putParameters("seed", InferParameter.newBuilder().setInt64Param(7).build());
    request.putParameters(
        "on_missing_expert", InferParameter.newBuilder().setStringParam("drop").build());
    request.putParameters("timeout_ms", InferParameter.newBuilder().setInt64Param(20_000).build());
    ModelInferResponse training = client().modelInfer(request.build());
    assertEquals(64, eval.getParametersOrThrow("capacity").getInt64Param());
    assertEquals(8, training.getParametersOrThrow("capacity").getInt64Param());
    assertTrue(training.getParametersOrThrow("dropped_routes").getInt64Param() > 0);
    assertEquals(training, client().modelInfer(request.build()), "the same seed");
    request.putParameters("seed", InferParameter.newBuilder().setUint64Param(8).build());
    assertFalse(
        training
            .getRawOutputContents(0)
            .equals(client().modelInfer(request.build()).getRawOutputContents(0)),
        "another seed");
  }

  @Test
  void onlyTheOutputsThatAreWantedCome() {
    ModelInferRequest.Builder request =
        request(InferenceModels.NESTED, true, Tensors.random(5, 8), 1, 8)
            .addOutputs(InferRequestedOutputTensor.newBuilder().setName("exp_counts"));
    ModelInferResponse response = client().modelInfer(request.build());
    assertEquals(List.of("exp_counts"), names(response));
    assertEquals(InferenceModels.EXPERTS, longs(response, "exp_counts").length);
    request.addOutputs(InferRequestedOutputTensor.newBuilder().setName("output"));
    assertEquals(List.of("output", "exp_counts"), names(client().modelInfer(request.build())));
  }

  @Test
  void zeroTokensAnswerZeroTokens() {
    ModelInferResponse response =
        client()
            .modelInfer(
                ModelInferRequest.newBuilder()
                    .setModelName(InferenceModels.NESTED)
                    .setId("none")
                    .addInputs(input("hidden_states", "FP32", 0, 8))
                    .addRawInputContents(ByteString.EMPTY)
                    .build());
    assertEquals("none", response.getId());
    assertEquals(3, response.getRawOutputContentsCount());
    assertEquals(0, response.getRawOutputContents(0).size());
    assertArrayEquals(new long[4], longs(response, "exp_counts"));
  }

  @Test
  void theServerAndItsModelsDescribeThemselves() {
    assertTrue(client().serverLive(ServerLiveRequest.getDefaultInstance()).getLive());
    assertTrue(client().serverReady(ServerReadyRequest.getDefaultInstance()).getReady());
    ServerMetadataResponse server =
        client().serverMetadata(ServerMetadataRequest.getDefaultInstance());
    assertEquals("guildhall", server.getName());
    assertTrue(server.getExtensionsList().contains("statistics"));

    assertTrue(modelReady(InferenceModels.NESTED, ""));
    assertFalse(modelReady("pear", ""));
    assertFalse(modelReady(InferenceModels.NESTED, "1"));
    ModelMetadataResponse model =
        client().modelMetadata(ModelMetadataRequest.newBuilder().setName(Digits.LAYER).build());
    assertEquals(Digits.LAYER, model.getName());
    assertEquals(
        List.of("hidden_states FP32 [-1, 128]", "used_token BOOL [-1]"),
        model.getInputsList().stream().map(InferenceGrpcTest::text).toList());
    assertEquals(
        List.of("output FP32 [-1, 128]", "l_aux FP32 [1]", "exp_counts INT64 [8]"),
        model.getOutputsList().stream().map(InferenceGrpcTest::text).toList());
    String version = model.getVersions(0);
    assertTrue(modelReady(Digits.LAYER, version));
    assertTrue(modelReady(Digits.LAYER, version.substring(0, 12)));
    assertFalse(modelReady(Digits.LAYER, version.substring(0, 11)));
  }

  private static boolean modelReady(String name, String version) {
    return client()
        .modelReady(ModelReadyRequest.newBuilder().setName(name).setVersion(version).build())
        .getReady();
  }

  private static String text(ModelMetadataResponse.TensorMetadata tensor) {
    return "%s %s %s".formatted(tensor.getName(), tensor.getDatatype(), tensor.getShapeList());
  }

  @Test
  void theRepositoryIsListedAndCannotBeChangedUnlessThatIsAllowed() {
    List<ModelIndex> models =
        client().repositoryIndex(RepositoryIndexRequest.getDefaultInstance()).getModelsList();
    assertEquals(InferenceModels.names(), models.stream().map(ModelIndex::getName).toList());
    assertTrue(models.stream().allMatch(model -> model.getState().equals("READY")));
    StatusRuntimeException load =
        assertThrows(
            StatusRuntimeException.class,
            () ->
                client()
                    .repositoryModelLoad(
                        RepositoryModelLoadRequest.newBuilder()
                            .setModelName(Digits.LAYER)
                            .build()));
    assertEquals(Status.Code.FAILED_PRECONDITION, load.getStatus().getCode());
    StatusRuntimeException unload =
        assertThrows(
            StatusRuntimeException.class,
            () ->
                client()
                    .repositoryModelUnload(
                        RepositoryModelUnloadRequest.newBuilder()
                            .setModelName(Digits.LAYER)
                            .build()));
    assertEquals(Status.Code.FAILED_PRECONDITION, unload.getStatus().getCode());
    assertTrue(modelReady(Digits.LAYER, ""));
  }

  @Test
  void statisticsCountWhatWasServed() {
    ModelStatistics before = statistics(InferenceModels.NESTED);
    client().modelInfer(request(InferenceModels.NESTED, true, Tensors.random(6, 24), 3, 8).build());
    ModelStatistics after = statistics(InferenceModels.NESTED);
    assertEquals(before.getExecutionCount() + 1, after.getExecutionCount());
    assertEquals(before.getInferenceCount() + 3, after.getInferenceCount());
    assertTrue(
        after.getInferenceStats().getSuccess().getNs()
            > before.getInferenceStats().getSuccess().getNs());
    assertTrue(after.getLastInference() > 1_700_000_000_000L);
    assertEquals(
        InferenceModels.names(),
        client()
            .modelStatistics(ModelStatisticsRequest.getDefaultInstance())
            .getModelStatsList()
            .stream()
            .map(ModelStatistics::getName)
            .toList());
  }

  private static ModelStatistics statistics(String name) {
    return client()
        .modelStatistics(ModelStatisticsRequest.newBuilder().setName(name).build())
        .getModelStats(0);
  }

  @Test
  void streamedRequestsAreAnsweredInTheirOrder() throws Exception {
    int count = 40;
    Recorded<ModelStreamInferResponse> answers = new Recorded<>();
    StreamObserver<ModelInferRequest> requests =
        GRPCInferenceServiceGrpc.newStub(channel).modelStreamInfer(answers);
    for (int i = 0; i < count; i++) {
      // Large ones between small ones, which would be answered sooner.
      int tokens = i % 4 == 0 ? 300 : 1;
      String name = i % 10 == 9 ? "pear" : InferenceModels.NESTED;
      requests.onNext(
          request(name, i % 3 != 0, Tensors.random(i, tokens * 8), tokens, 8)
              .setId("r" + i)
              .build());
    }
    requests.onCompleted();
    List<ModelStreamInferResponse> all = answers.all();
    assertEquals(
        IntStream.range(0, count).mapToObj(i -> "r" + i).toList(),
        all.stream().map(answer -> answer.getInferResponse().getId()).toList());
    for (int i = 0; i < count; i++) {
      ModelStreamInferResponse answer = all.get(i);
      if (i % 10 == 9) {
        assertTrue(answer.getErrorMessage().startsWith("layer is \"pear\"; there are: "));
        assertEquals(
            "NOT_FOUND", answer.getInferResponse().getParametersOrThrow("status").getStringParam());
      } else {
        assertEquals("", answer.getErrorMessage());
        int tokens = i % 4 == 0 ? 300 : 1;
        assertEquals(tokens * 8, floats(answer.getInferResponse(), "output").length);
      }
    }
  }

  static Stream<Arguments> wrong() {
    ModelInferRequest good = request(InferenceModels.NESTED, true, new float[16], 2, 8).build();
    ByteString data = good.getRawInputContents(0);
    InferInputTensor.Builder used = input("used_token", "BOOL", 2);
    return Stream.of(
        Arguments.of("NOT_FOUND", "layer is \"pear\"", good.toBuilder().setModelName("pear")),
        Arguments.of("NOT_FOUND", "has no version \"1\"", good.toBuilder().setModelVersion("1")),
        Arguments.of(
            "INVALID_ARGUMENT",
            "input hidden_states is missing",
            good.toBuilder().clearInputs().clearRawInputContents()),
        Arguments.of(
            "INVALID_ARGUMENT",
            "input is \"x\"; allowed are hidden_states and used_token",
            good.toBuilder().setInputs(0, input("x", "FP32", 2, 8))),
        Arguments.of(
            "INVALID_ARGUMENT",
            "input is \"hidden_states\"",
            good.toBuilder().addInputs(good.getInputs(0)).addRawInputContents(data)),
        Arguments.of(
            "INVALID_ARGUMENT",
            "shape is [2, 9]; allowed is [..., 8]",
            good.toBuilder().setInputs(0, input("hidden_states", "FP32", 2, 9))),
        Arguments.of(
            "INVALID_ARGUMENT",
            "hidden_states has 64 bytes; allowed is 96",
            good.toBuilder().setInputs(0, input("hidden_states", "FP32", 3, 8))),
        Arguments.of(
            "INVALID_ARGUMENT",
            "shape is [-1, 8]",
            good.toBuilder().setInputs(0, input("hidden_states", "FP32", -1, 8))),
        Arguments.of(
            "INVALID_ARGUMENT",
            "hidden_states has datatype \"INT32\"; allowed is FP32, FP16 or BF16",
            good.toBuilder().setInputs(0, input("hidden_states", "INT32", 2, 8))),
        Arguments.of(
            "INVALID_ARGUMENT",
            "raw_input_contents has 1 tensors; allowed is one an input, 2",
            good.toBuilder().addInputs(used)),
        Arguments.of(
            "INVALID_ARGUMENT",
            "contents beside raw_input_contents",
            good.toBuilder()
                .setInputs(
                    0,
                    input("hidden_states", "FP32", 2, 8)
                        .setContents(InferTensorContents.newBuilder().addFp32Contents(1)))),
        Arguments.of(
            "INVALID_ARGUMENT",
            "used_token has 3 values; allowed is one a token, 2",
            good.toBuilder()
                .addInputs(input("used_token", "BOOL", 3))
                .addRawInputContents(ByteString.copyFrom(new byte[3]))),
        Arguments.of(
            "INVALID_ARGUMENT",
            "used_token has 2 bytes; allowed is 1 an element of its shape [3]",
            good.toBuilder()
                .addInputs(input("used_token", "BOOL", 3))
                .addRawInputContents(ByteString.copyFrom(new byte[2]))),
        Arguments.of(
            "INVALID_ARGUMENT",
            "used_token has 2 at element 1",
            good.toBuilder()
                .addInputs(used)
                .addRawInputContents(ByteString.copyFrom(new byte[] {1, 2}))),
        Arguments.of(
            "INVALID_ARGUMENT",
            "used_token has datatype \"FP32\"",
            good.toBuilder()
                .addInputs(input("used_token", "FP32", 2))
                .addRawInputContents(ByteString.copyFrom(new byte[8]))),
        Arguments.of(
            "INVALID_ARGUMENT",
            "output is \"logits\"; allowed are output, l_aux, exp_counts",
            good.toBuilder().addOutputs(InferRequestedOutputTensor.newBuilder().setName("logits"))),
        Arguments.of(
            "INVALID_ARGUMENT",
            "parameter is \"trainning\"",
            good.toBuilder().putParameters("trainning", parameter("x"))),
        Arguments.of(
            "INVALID_ARGUMENT",
            "parameter training is yes; allowed is true or false",
            good.toBuilder().putParameters("training", parameter("yes"))),
        Arguments.of(
            "INVALID_ARGUMENT",
            "parameter on_missing_expert is wait; allowed is \"fail\" or \"drop\"",
            good.toBuilder().putParameters("on_missing_expert", parameter("wait"))),
        Arguments.of(
            "INVALID_ARGUMENT",
            "parameter seed has no value",
            good.toBuilder().putParameters("seed", InferParameter.getDefaultInstance())),
        Arguments.of(
            "INVALID_ARGUMENT",
            "parameter timeout_ms is -1",
            good.toBuilder()
                .putParameters(
                    "timeout_ms", InferParameter.newBuilder().setInt64Param(-1).build())),
        Arguments.of(
            "INVALID_ARGUMENT",
            "shared_memory_region",
            good.toBuilder()
                .setInputs(
                    0,
                    input("hidden_states", "FP32", 2, 8)
                        .putParameters("shared_memory_region", parameter("r")))),
        Arguments.of(
            "INVALID_ARGUMENT",
            "hidden_states has NaN at element 0",
            request(
                InferenceModels.NESTED,
                false,
                new float[] {Float.NaN, 0, 0, 0, 0, 0, 0, 0},
                1,
                8)));
  }

  @ParameterizedTest(name = "{1}")
  @MethodSource("wrong")
  void whatIsWrongIsSaidWithTheValueAndWhatIsAllowed(
      String code, String message, ModelInferRequest.Builder request) {
    assertFails(Status.Code.valueOf(code), message, request);
    answersStill();
  }

  private static void answersStill() {
    client().modelInfer(request(InferenceModels.NESTED, true, new float[8], 1, 8).build());
  }

  private static void assertFails(
      Status.Code code, String message, ModelInferRequest.Builder request) {
    StatusRuntimeException e =
        assertThrows(StatusRuntimeException.class, () -> client().modelInfer(request.build()));
    assertEquals(code, e.getStatus().getCode(), e.getMessage());
    assertTrue(String.valueOf(e.getStatus().getDescription()).contains(message), e.getMessage());
  }

  private static InferParameter parameter(String text) {
    return InferParameter.newBuilder().setStringParam(text).build();
  }

  private static ModelInferRequest.Builder request(
      String model, boolean raw, float[] hiddenStates, long... shape) {
    InferInputTensor.Builder input = input("hidden_states", "FP32", shape);
    ModelInferRequest.Builder request = ModelInferRequest.newBuilder().setModelName(model);
    if (raw) {
      request.addRawInputContents(Tensors.bytes(hiddenStates));
    } else {
      input.setContents(
          InferTensorContents.newBuilder().addAllFp32Contents(Floats.asList(hiddenStates)));
    }
    return request.addInputs(input);
  }

  private static InferInputTensor.Builder input(String name, String datatype, long... shape) {
    return InferInputTensor.newBuilder()
        .setName(name)
        .setDatatype(datatype)
        .addAllShape(Longs.asList(shape));
  }

  private static List<String> names(ModelInferResponse response) {
    return response.getOutputsList().stream().map(InferOutputTensor::getName).toList();
  }

  private static float[] floats(ModelInferResponse response, String name) {
    int index = names(response).indexOf(name);
    return response.getRawOutputContentsCount() > 0
        ? Tensors.floats(response.getRawOutputContents(index))
        : Floats.toArray(response.getOutputs(index).getContents().getFp32ContentsList());
  }

  private static long[] longs(ModelInferResponse response, String name) {
    int index = names(response).indexOf(name);
    if (response.getRawOutputContentsCount() == 0) {
      return Longs.toArray(response.getOutputs(index).getContents().getInt64ContentsList());
    }
    ByteBuffer bytes =
        response.getRawOutputContents(index).asReadOnlyByteBuffer().order(ByteOrder.LITTLE_ENDIAN);
    long[] values = new long[bytes.remaining() / Long.BYTES];
    bytes.asLongBuffer().get(values);
    return values;
  }
}
