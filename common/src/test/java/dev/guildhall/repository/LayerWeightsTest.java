package dev.guildhall.repository;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT_UNALIGNED;
import static java.util.Objects.requireNonNull;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.guildhall.error.ErrorCode;
import dev.guildhall.error.GuildhallException;
import dev.guildhall.proto.GatedMlpExpert;
import dev.guildhall.proto.MlpExpert;
import dev.guildhall.proto.MoeLayerConfig;
import dev.guildhall.proto.OnnxExpert;
import dev.guildhall.proto.Weights;
import dev.guildhall.safetensors.SafetensorsWriter;
import dev.guildhall.safetensors.StoredTensor;
import dev.guildhall.tensor.DType;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class LayerWeightsTest {
  private static final int H = 4;
  private static final int F = 6;
  private static final int E = 2;

  @TempDir Path folder;
  private final Map<String, StoredTensor> tensors = new LinkedHashMap<>();

  @BeforeEach
  void rightTensors() {
    put("gate.wg.weight", DType.FP32, E, H);
    put("coefficient.weight", DType.FP32, 2, H);
    put("coefficient.bias", DType.FP32, 2);
    for (String prefix : List.of("experts.0", "experts.1", "mlp")) {
      put(prefix + ".fc1.weight", DType.FP32, F, H);
      put(prefix + ".fc1.bias", DType.FP32, F);
      put(prefix + ".fc2.weight", DType.FP32, H, F);
      put(prefix + ".fc2.bias", DType.FP32, H);
    }
  }

  @Test
  void givesTheExamplesWeightsTheirShapes() {
    Layer digits = LayerRepository.open(Path.of("../examples/digits")).layers().getFirst();
    try (LayerWeights weights = LayerWeights.open(digits)) {
      Linear mix = weights.projection().mix().orElseThrow();
      assertEquals(List.of(8L, 128L), weights.projection().gate().weight().shape());
      assertEquals(List.of(2L, 128L), mix.weight().shape());
      assertEquals(List.of(2L), mix.bias().orElseThrow().shape());
      for (int expert = 0; expert <= digits.config().denseExpert(); expert++) {
        ExpertWeights.Mlp mlp = mlp(weights, expert);
        assertEquals(List.of(256L, 128L), mlp.fc1().weight().shape());
        assertEquals(List.of(256L), mlp.fc1().bias().orElseThrow().shape());
        assertEquals(List.of(128L, 256L), mlp.fc2().weight().shape());
        assertEquals(List.of(128L), mlp.fc2().bias().orElseThrow().shape());
      }
    }
  }

  @Test
  void givesEachExpertItsOwnAndTheResidualMlpAsTheOnePastTheLast() throws IOException {
    try (LayerWeights weights = open()) {
      assertFirst("experts.0.fc1.weight", mlp(weights, 0).fc1().weight());
      assertFirst("experts.1.fc1.weight", mlp(weights, 1).fc1().weight());
      assertFirst("experts.1.fc2.bias", mlp(weights, 1).fc2().bias().orElseThrow());
      assertFirst("mlp.fc2.weight", mlp(weights, E).fc2().weight());
      assertFirst("gate.wg.weight", weights.projection().gate().weight());
      assertFirst(
          "coefficient.bias", weights.projection().mix().orElseThrow().bias().orElseThrow());
    }
  }

  @Test
  void takesLinearMapsWithoutBias() throws IOException {
    tensors.keySet().removeIf(name -> name.startsWith("experts.") && name.endsWith(".bias"));
    try (LayerWeights weights = open()) {
      assertTrue(mlp(weights, 0).fc1().bias().isEmpty());
      assertTrue(mlp(weights, 1).fc2().bias().isEmpty());
      assertTrue(mlp(weights, E).fc1().bias().isPresent());
    }
  }

  @Test
  void findsTensorsInAnyOfSeveralFiles() throws IOException {
    Map<String, StoredTensor> gate = Map.of("gate.wg.weight", tensor(DType.FP32, 7, E, H));
    tensors.remove("gate.wg.weight");
    SafetensorsWriter.write(folder.resolve("gate.safetensors"), gate, Map.of());
    SafetensorsWriter.write(folder.resolve("rest.safetensors"), tensors, Map.of());
    Layer layer =
        layer(Weights.newBuilder().addFiles("gate.safetensors").addFiles("rest.safetensors"));
    try (LayerWeights weights = LayerWeights.open(layer)) {
      assertEquals(7f, weights.projection().gate().weight().data().get(JAVA_FLOAT_UNALIGNED, 0));
      assertFirst("experts.0.fc1.weight", mlp(weights, 0).fc1().weight());
    }
    Layer other =
        layer(
            layer.proto().toBuilder()
                .setMlp(MlpExpert.newBuilder().setActivation("relu").setFc1("up"))
                .build());
    try (LayerWeights weights = LayerWeights.open(other)) {
      assertRefused(
          ErrorCode.NOT_FOUND,
          "layer test: no tensor \"experts.0.up.weight\" in [gate.safetensors, rest.safetensors]",
          () -> mlp(weights, 0));
    }
  }

  @Test
  void refusesWrongShapes() throws IOException {
    put("gate.wg.weight", DType.FP32, H, E);
    put("experts.0.fc1.weight", DType.FP32, F);
    put("experts.1.fc2.weight", DType.FP32, F, H);
    put("mlp.fc1.weight", DType.FP32, F, H + 1);
    try (LayerWeights weights = open()) {
      assertWrongShape("gate.wg.weight", "[4, 2]", "[2, 4]", weights::projection);
      assertWrongShape("experts.0.fc1.weight", "[6]", "[ffn_size, 4]", () -> mlp(weights, 0));
      assertWrongShape("experts.1.fc2.weight", "[6, 4]", "[4, 6]", () -> mlp(weights, 1));
      assertWrongShape("mlp.fc1.weight", "[6, 5]", "[6, 4]", () -> mlp(weights, E));
    }
  }

  @Test
  void refusesACoefficientOfAnotherShape() throws IOException {
    put("coefficient.bias", DType.FP32, 1);
    try (LayerWeights weights = open()) {
      assertWrongShape("coefficient.bias", "[1]", "[2]", weights::projection);
    }
  }

  @Test
  void refusesAnExpertWithoutWidth() throws IOException {
    put("experts.0.fc1.weight", DType.FP32, 0, H);
    try (LayerWeights weights = open()) {
      assertWrongShape("experts.0.fc1.weight", "[0, 4]", "[ffn_size, 4]", () -> mlp(weights, 0));
    }
  }

  @Test
  void refusesOtherElementTypes() throws IOException {
    put("gate.wg.weight", DType.INT8, E, H);
    put("experts.0.fc2.bias", DType.FP64, H);
    try (LayerWeights weights = open()) {
      assertRefused(
          ErrorCode.INVALID_ARGUMENT,
          "layer test: tensor \"gate.wg.weight\" is INT8; allowed are FP32, FP16 and BF16",
          weights::projection);
      assertRefused(
          ErrorCode.INVALID_ARGUMENT,
          "layer test: tensor \"experts.0.fc2.bias\" is FP64; allowed are FP32, FP16 and BF16",
          () -> mlp(weights, 0));
    }
  }

  @Test
  void saysWhichTensorIsMissingAndWhatIsThere() throws IOException {
    tensors.keySet().retainAll(List.of("experts.0.fc1.weight", "coefficient.weight"));
    Path file = folder.resolve("model.safetensors");
    try (LayerWeights weights = open()) {
      String there = "; it has 2 tensors: coefficient.weight, experts.0.fc1.weight";
      assertRefused(
          ErrorCode.NOT_FOUND,
          file + " has no tensor \"gate.wg.weight\"" + there,
          weights::projection);
      assertRefused(
          ErrorCode.NOT_FOUND,
          file + " has no tensor \"experts.0.fc2.weight\"" + there,
          () -> mlp(weights, 0));
    }
  }

  @Test
  void refusesAMissingFile() {
    assertRefused(
        ErrorCode.NOT_FOUND,
        folder.resolve("model.safetensors") + ": there is no such file",
        () -> LayerWeights.open(layer(Weights.newBuilder())).close());
  }

  @Test
  void resolvesOnnxFilesInTheLayersFolder() {
    Layer layer = layer(Weights.newBuilder());
    ExpertArchitecture.Onnx onnx =
        (ExpertArchitecture.Onnx)
            LayerConfig.of(
                    layer.proto().toBuilder().setOnnx(OnnxExpert.getDefaultInstance()).build())
                .expert();
    assertEquals(folder.resolve("expert_1.onnx"), LayerWeights.onnxFile(layer, onnx, 1));
    assertEquals(folder.resolve("mlp.onnx"), LayerWeights.onnxFile(layer, onnx, E));
  }

  @Test
  void cutsTheExpertsIntoRanksSideBySideWithTheResidualMlpOnEach() {
    Layer layer = withExperts(8, true);
    assertArrayEquals(new int[] {0, 1, 2, 3, 4, 5, 6, 7, 8}, ExpertParallel.WHOLE.experts(layer));
    assertArrayEquals(new int[] {0, 1, 2, 3, 8}, new ExpertParallel(0, 2).experts(layer));
    assertArrayEquals(new int[] {6, 7, 8}, new ExpertParallel(3, 4).experts(layer));
    assertArrayEquals(new int[] {7}, new ExpertParallel(7, 8).experts(withExperts(8, false)));
  }

  @Test
  void refusesRanksThatCannotBe() {
    assertRefused(
        ErrorCode.INVALID_ARGUMENT,
        "ep_size is 0; allowed is from 1",
        () -> new ExpertParallel(0, 0));
    for (int rank : new int[] {-1, 4}) {
      assertRefused(
          ErrorCode.INVALID_ARGUMENT,
          "ep_rank is %d; allowed is from 0 to 3, below the ep_size".formatted(rank),
          () -> new ExpertParallel(rank, 4));
    }
    assertRefused(
        ErrorCode.INVALID_ARGUMENT,
        "ep_size is 3; allowed is a divisor of layer test's num_experts 8",
        () -> new ExpertParallel(0, 3).experts(withExperts(8, true)));
  }

  @Test
  void takesWhatTheGateAndTheSharedExpertNeed() throws IOException {
    put("gate.bias", DType.BF16, E);
    put("correction", DType.FP32, E);
    put("shared.fc1.weight", DType.FP16, F, H);
    put("shared.fc2.weight", DType.FP16, H, F);
    put("shared_gate", DType.FP32, 1, H);
    SafetensorsWriter.write(folder.resolve("model.safetensors"), tensors, Map.of());
    Weights names =
        Weights.newBuilder()
            .setGateBias("gate.bias")
            .setScoreCorrectionBias("correction")
            .setSharedExpert("shared")
            .setSharedExpertGate("shared_gate")
            .build();
    MoeLayerConfig proto = config(E, false).setUseSharedExpert(true).setWeights(names).build();
    try (LayerWeights weights = LayerWeights.open(layer(proto))) {
      assertFirst("gate.bias", weights.projection().gate().bias().orElseThrow());
      assertFirst("shared_gate", weights.projection().mix().orElseThrow().weight());
      assertFirst("shared.fc2.weight", mlp(weights, E).fc2().weight());
      float value = requireNonNull(tensors.get("correction")).data().get(JAVA_FLOAT_UNALIGNED, 0);
      assertArrayEquals(new float[] {value, value}, weights.scoreCorrectionBias());
    }
  }

  @ParameterizedTest
  @ValueSource(booleans = {true, false})
  void cutsFusedMaps(boolean interleaved) throws IOException {
    float[] values = {0, 1, 2, 3, 10, 11, 12, 13, 20, 21, 22, 23, 30, 31, 32, 33};
    for (String expert : List.of("experts.0", "experts.1")) {
      tensors.put(
          expert + ".gate_up.weight",
          new StoredTensor(DType.FP32, List.of(4L, 4L), MemorySegment.ofArray(values.clone())));
      put(expert + ".down_proj.weight", DType.FP32, H, 2);
    }
    SafetensorsWriter.write(folder.resolve("model.safetensors"), tensors, Map.of());
    MoeLayerConfig proto =
        config(E, false)
            .setGatedMlp(
                GatedMlpExpert.newBuilder()
                    .setActivation("silu")
                    .setGateUp("gate_up")
                    .setInterleaved(interleaved))
            .build();
    try (LayerWeights weights = LayerWeights.open(layer(proto))) {
      ExpertWeights.GatedMlp expert = (ExpertWeights.GatedMlp) weights.expert(1);
      int second = interleaved ? 20 : 10;
      assertArrayEquals(
          new float[] {0, 1, 2, 3, second, second + 1, second + 2, second + 3},
          expert.gate().weight().data().toArray(JAVA_FLOAT_UNALIGNED));
      int first = interleaved ? 10 : 20;
      assertArrayEquals(
          new float[] {first, first + 1, first + 2, first + 3, 30, 31, 32, 33},
          expert.up().weight().data().toArray(JAVA_FLOAT_UNALIGNED));
    }
  }

  private static ExpertWeights.Mlp mlp(LayerWeights weights, int expert) {
    return (ExpertWeights.Mlp) weights.expert(expert);
  }

  private void put(String name, DType dtype, long... shape) {
    tensors.put(name, tensor(dtype, name.hashCode() % 1000, shape));
  }

  private static StoredTensor tensor(DType dtype, float value, long... shape) {
    long elements = Arrays.stream(shape).reduce(1, (a, b) -> a * b);
    byte[] bytes = new byte[(int) elements * dtype.bytes()];
    MemorySegment data = MemorySegment.ofArray(bytes);
    if (dtype == DType.FP32) {
      for (int i = 0; i < elements; i++) {
        data.setAtIndex(JAVA_FLOAT_UNALIGNED, i, value);
      }
    }
    return new StoredTensor(dtype, Arrays.stream(shape).boxed().toList(), data);
  }

  private void assertFirst(String expected, StoredTensor actual) {
    StoredTensor tensor = requireNonNull(tensors.get(expected));
    assertEquals(-1, tensor.data().mismatch(actual.data()), expected);
  }

  private LayerWeights open() throws IOException {
    SafetensorsWriter.write(folder.resolve("model.safetensors"), tensors, Map.of());
    return LayerWeights.open(layer(Weights.newBuilder()));
  }

  private Layer layer(Weights.Builder weights) {
    return layer(config(E, true).setWeights(weights).build());
  }

  private Layer withExperts(int experts, boolean residual) {
    return layer(config(experts, residual).build());
  }

  private Layer layer(MoeLayerConfig proto) {
    return new Layer("test", folder, proto, LayerConfig.of(proto));
  }

  private static MoeLayerConfig.Builder config(int experts, boolean residual) {
    return MoeLayerConfig.newBuilder()
        .setHiddenSize(H)
        .setNumExperts(experts)
        .setUseResidual(residual)
        .setMlp(MlpExpert.newBuilder().setActivation("relu"));
  }

  private static void assertWrongShape(
      String tensor, String shape, String allowed, Executable access) {
    assertRefused(
        ErrorCode.INVALID_ARGUMENT,
        "layer test: tensor \"%s\" has shape %s; allowed is %s".formatted(tensor, shape, allowed),
        access);
  }

  private static void assertRefused(ErrorCode code, String message, Executable action) {
    GuildhallException e = assertThrows(GuildhallException.class, action);
    assertEquals(message, e.getMessage());
    assertEquals(code, e.code());
  }
}
