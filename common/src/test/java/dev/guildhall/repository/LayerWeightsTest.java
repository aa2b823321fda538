package dev.guildhall.repository;

import static java.util.Objects.requireNonNull;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.guildhall.error.ErrorCode;
import dev.guildhall.error.GuildhallException;
import dev.guildhall.proto.MlpExpert;
import dev.guildhall.proto.MoeLayerConfig;
import dev.guildhall.proto.OnnxExpert;
import dev.guildhall.proto.Weights;
import dev.guildhall.safetensors.SafetensorsWriter;
import dev.guildhall.safetensors.StoredTensor;
import dev.guildhall.tensor.DType;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.api.io.TempDir;

class LayerWeightsTest {
  private static final int H = 4;
  private static final int F = 6;
  private static final int E = 2;
  private static final ExpertArchitecture.Mlp MLP =
      new ExpertArchitecture.Mlp(Activation.RELU, "fc1", "fc2");

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
      assertEquals(8 * 128 * 4, weights.gate().byteSize());
      assertEquals(2 * 128 * 4, weights.coefficient().weight().byteSize());
      assertEquals(2 * 4, weights.coefficient().bias().byteSize());
      for (int expert = 0; expert <= digits.config().residualExpert(); expert++) {
        LayerWeights.Mlp mlp = weights.mlp(MLP, expert);
        assertEquals(256, mlp.fc1().outSize());
        assertEquals(256 * 128 * 4, mlp.fc1().weight().byteSize());
        assertEquals(256 * 4, mlp.fc1().bias().orElseThrow().byteSize());
        assertEquals(128, mlp.fc2().outSize());
        assertEquals(128 * 256 * 4, mlp.fc2().weight().byteSize());
        assertEquals(128 * 4, mlp.fc2().bias().orElseThrow().byteSize());
      }
    }
  }

  @Test
  void givesEachExpertItsOwnAndTheResidualMlpAsTheOnePastTheLast() throws IOException {
    try (LayerWeights weights = open()) {
      assertFirst("experts.0.fc1.weight", weights.mlp(MLP, 0).fc1().weight());
      assertFirst("experts.1.fc1.weight", weights.mlp(MLP, 1).fc1().weight());
      assertFirst("experts.1.fc2.bias", weights.mlp(MLP, 1).fc2().bias().orElseThrow());
      assertFirst("mlp.fc2.weight", weights.mlp(MLP, E).fc2().weight());
      assertFirst("gate.wg.weight", weights.gate());
      assertFirst("coefficient.bias", weights.coefficient().bias());
    }
  }

  @Test
  void takesLinearMapsWithoutBias() throws IOException {
    tensors.keySet().removeIf(name -> name.startsWith("experts.") && name.endsWith(".bias"));
    try (LayerWeights weights = open()) {
      assertTrue(weights.mlp(MLP, 0).fc1().bias().isEmpty());
      assertTrue(weights.mlp(MLP, 1).fc2().bias().isEmpty());
      assertTrue(weights.mlp(MLP, E).fc1().bias().isPresent());
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
      assertEquals(7f, weights.gate().get(ValueLayout.JAVA_FLOAT_UNALIGNED, 0));
      assertFirst("experts.0.fc1.weight", weights.mlp(MLP, 0).fc1().weight());
      ExpertArchitecture.Mlp other = new ExpertArchitecture.Mlp(Activation.RELU, "up", "fc2");
      assertRefused(
          ErrorCode.NOT_FOUND,
          "layer test: no tensor \"experts.0.up.weight\" in [gate.safetensors, rest.safetensors]",
          () -> weights.mlp(other, 0));
    }
  }

  @Test
  void refusesWrongShapes() throws IOException {
    put("gate.wg.weight", DType.FP32, H, E);
    put("coefficient.bias", DType.FP32, 1);
    put("experts.0.fc1.weight", DType.FP32, F);
    put("experts.1.fc2.weight", DType.FP32, F, H);
    put("mlp.fc1.weight", DType.FP32, F, H + 1);
    try (LayerWeights weights = open()) {
      assertWrongShape("gate.wg.weight", "[4, 2]", "[2, 4]", weights::gate);
      assertWrongShape("coefficient.bias", "[1]", "[2]", weights::coefficient);
      assertWrongShape("experts.0.fc1.weight", "[6]", "[ffn_size, 4]", () -> weights.mlp(MLP, 0));
      assertWrongShape("experts.1.fc2.weight", "[6, 4]", "[4, 6]", () -> weights.mlp(MLP, 1));
      assertWrongShape("mlp.fc1.weight", "[6, 5]", "[6, 4]", () -> weights.mlp(MLP, E));
    }
  }

  @Test
  void refusesAnExpertWithoutWidth() throws IOException {
    put("experts.0.fc1.weight", DType.FP32, 0, H);
    try (LayerWeights weights = open()) {
      assertWrongShape(
          "experts.0.fc1.weight", "[0, 4]", "[ffn_size, 4]", () -> weights.mlp(MLP, 0));
    }
  }

  @Test
  void refusesOtherElementTypes() throws IOException {
    put("gate.wg.weight", DType.BF16, E, H);
    put("experts.0.fc2.bias", DType.FP64, H);
    try (LayerWeights weights = open()) {
      assertRefused(
          ErrorCode.INVALID_ARGUMENT,
          "layer test: tensor \"gate.wg.weight\" is BF16; allowed is FP32",
          weights::gate);
      assertRefused(
          ErrorCode.INVALID_ARGUMENT,
          "layer test: tensor \"experts.0.fc2.bias\" is FP64; allowed is FP32",
          () -> weights.mlp(MLP, 0));
    }
  }

  @Test
  void saysWhichTensorIsMissingAndWhatIsThere() throws IOException {
    tensors.keySet().retainAll(List.of("experts.0.fc1.weight", "coefficient.weight"));
    Path file = folder.resolve("model.safetensors");
    try (LayerWeights weights = open()) {
      String there = "; it has 2 tensors: coefficient.weight, experts.0.fc1.weight";
      assertRefused(
          ErrorCode.NOT_FOUND, file + " has no tensor \"gate.wg.weight\"" + there, weights::gate);
      assertRefused(
          ErrorCode.NOT_FOUND,
          file + " has no tensor \"coefficient.bias\"" + there,
          weights::coefficient);
      assertRefused(
          ErrorCode.NOT_FOUND,
          file + " has no tensor \"experts.0.fc2.weight\"" + there,
          () -> weights.mlp(MLP, 0));
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

  private void put(String name, DType dtype, long... shape) {
    tensors.put(name, tensor(dtype, name.hashCode() % 1000, shape));
  }

  private static StoredTensor tensor(DType dtype, float value, long... shape) {
    long elements = Arrays.stream(shape).reduce(1, (a, b) -> a * b);
    byte[] bytes = new byte[(int) elements * dtype.bytes()];
    MemorySegment data = MemorySegment.ofArray(bytes);
    if (dtype == DType.FP32) {
      for (int i = 0; i < elements; i++) {
        data.setAtIndex(ValueLayout.JAVA_FLOAT_UNALIGNED, i, value);
      }
    }
    return new StoredTensor(dtype, Arrays.stream(shape).boxed().toList(), data);
  }

  private void assertFirst(String expected, MemorySegment actual) {
    StoredTensor tensor = requireNonNull(tensors.get(expected));
    assertEquals(-1, tensor.data().mismatch(actual), expected);
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
