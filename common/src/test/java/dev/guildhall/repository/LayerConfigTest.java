package dev.guildhall.repository;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.params.provider.Arguments.arguments;

import dev.guildhall.error.ErrorCode;
import dev.guildhall.error.GuildhallException;
import dev.guildhall.proto.GatedMlpExpert;
import dev.guildhall.proto.MlpExpert;
import dev.guildhall.proto.MoeLayerConfig;
import dev.guildhall.proto.OnnxExpert;
import dev.guildhall.proto.Weights;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;

class LayerConfigTest {
  private static final String FACTOR = "a finite number from 0";
  private static final String IN_FOLDER =
      "the relative name of a file in the layer's folder, without \"..\"";

  /** A right configuration with 8 experts. */
  private static MoeLayerConfig.Builder right() {
    return MoeLayerConfig.newBuilder()
        .setHiddenSize(16)
        .setNumExperts(8)
        .setMlp(MlpExpert.newBuilder().setActivation("relu"));
  }

  @Test
  void defaultsAreThoseOfDeepSpeed() {
    LayerConfig config =
        LayerConfig.of(
            MoeLayerConfig.newBuilder()
                .setHiddenSize(16)
                .setMlp(MlpExpert.newBuilder().setActivation("relu"))
                .build());
    assertEquals(16, config.hiddenSize());
    assertEquals(1, config.numExperts());
    assertEquals(1, config.epSize());
    assertEquals(1, config.k());
    assertEquals(1.0, config.capacityFactor());
    assertEquals(1.0, config.evalCapacityFactor());
    assertEquals(4, config.minCapacity());
    assertFalse(config.useResidual());
    assertEquals(NoisyGatePolicy.NONE, config.noisyGatePolicy());
    assertEquals(MissingExperts.FAIL, config.missingExperts());
    assertTrue(config.dropTokens());
    assertTrue(config.useRts());
    assertFalse(config.useTutel());
    assertFalse(config.enableExpertTensorParallelism());
    assertTrue(config.top2SecondExpertSampling());
    assertEquals(new ExpertArchitecture.Mlp(Activation.RELU, "fc1", "fc2"), config.expert());
    assertEquals(
        new WeightNames(
            List.of("model.safetensors"),
            "gate.wg.weight",
            "coefficient",
            "experts.{expert}",
            "mlp",
            Optional.empty(),
            Optional.empty(),
            "shared_expert",
            Optional.empty()),
        config.weights());
  }

  @Test
  void gatesAreDeepSpeedsUnlessTold() {
    LayerConfig one = LayerConfig.of(right().build());
    assertEquals(
        new Scoring(Scoring.ScoreFunction.SOFTMAX, false, 1, Optional.empty()), one.scoring());
    assertTrue(LayerConfig.of(right().setK(2).build()).scoring().normTopK());
    assertEquals(Precision.FP32, one.precision());
    assertFalse(one.hasDenseExpert());
  }

  @Test
  void takesTheGateOfDeepSeekV3() {
    LayerConfig config =
        LayerConfig.of(
            right()
                .setK(4)
                .setScoreFunction("sigmoid")
                .setNormTopkProb(true)
                .setRoutedScalingFactor(2.5)
                .setNGroup(4)
                .setTopkGroup(2)
                .setGroupScore("top2_sum")
                .setUseSharedExpert(true)
                .setPrecision("int4")
                .build());
    assertEquals(
        new Scoring(
            Scoring.ScoreFunction.SIGMOID,
            true,
            2.5,
            Optional.of(new Scoring.Groups(4, 2, Scoring.GroupScore.TOP2_SUM))),
        config.scoring());
    assertEquals(Precision.INT4, config.precision());
    assertEquals(9, config.hostedExperts());
  }

  @Test
  void takesTheExpertOfGptOss() {
    LayerConfig config =
        LayerConfig.of(
            right()
                .setGatedMlp(
                    GatedMlpExpert.newBuilder()
                        .setActivation("silu")
                        .setGateUp("gate_up_proj")
                        .setInterleaved(true)
                        .setSwigluLimit(7))
                .build());
    assertEquals(
        new ExpertArchitecture.GatedMlp(
            Activation.SILU,
            Optional.of(7.0),
            new ExpertArchitecture.GatedInput.Fused("gate_up_proj", true),
            "down_proj"),
        config.expert());
  }

  static Stream<Arguments> wrongGates() {
    return Stream.of(
        arguments(
            right().setScoreFunction("tanh"),
            "score_function is tanh; allowed is one of softmax, sigmoid"),
        arguments(
            right().setPrecision("int2"),
            "precision is int2; allowed is one of fp32, fp16, int8, int4"),
        arguments(
            right().setOnnx(OnnxExpert.getDefaultInstance()).setPrecision("int4"),
            "precision is int4; allowed is nothing beside onnx, whose files say what is computed"),
        arguments(right().setNGroup(3), "n_group is 3; allowed is a divisor of num_experts 8"),
        arguments(
            right().setK(3).setNGroup(4).setTopkGroup(1),
            "topk_group is 1; allowed is from 1 to n_group 4, of which each has 2 experts, so that k 3 can be chosen"),
        arguments(
            right().setNGroup(8).setTopkGroup(2).setGroupScore("top2_sum"),
            "group_score is top2_sum; allowed is \"max\" where groups have one expert"),
        arguments(
            right().setGroupScore("max"), "group_score is max; allowed is nothing without n_group"),
        arguments(
            right().setK(2).setScoreFunction("sigmoid"),
            "top2_2nd_expert_sampling is true; allowed is false with sigmoid scores, groups or a score_correction_bias"),
        arguments(
            right().setNGroup(4).setTopkGroup(2).setNoisyGatePolicy("RSample"),
            "noisy_gate_policy is RSample; allowed is \"None\" or \"Jitter\" with sigmoid scores, groups or a score_correction_bias"),
        arguments(
            right().setRoutedScalingFactor(-1),
            "routed_scaling_factor is -1.0; allowed is " + FACTOR),
        arguments(
            right().setUseResidual(true).setUseSharedExpert(true),
            "use_shared_expert is true; allowed is false beside use_residual: a layer has one of them"),
        arguments(
            right()
                .setGatedMlp(GatedMlpExpert.newBuilder().setActivation("relu").setSwigluLimit(7)),
            "gated_mlp.activation is relu; allowed is \"silu\" with a swiglu_limit"),
        arguments(
            right()
                .setGatedMlp(
                    GatedMlpExpert.newBuilder()
                        .setActivation("silu")
                        .setUp("w3")
                        .setGateUp("gate_up")),
            "gated_mlp.gate_up is gate_up; allowed is nothing beside \"gate\" and \"up\""),
        arguments(
            right()
                .setGatedMlp(
                    GatedMlpExpert.newBuilder().setActivation("silu").setInterleaved(true)),
            "gated_mlp.interleaved is true; allowed is false without \"gate_up\""));
  }

  @ParameterizedTest
  @MethodSource
  void wrongGates(MoeLayerConfig.Builder wrong, String message) {
    var e = assertThrows(GuildhallException.class, () -> LayerConfig.of(wrong.build()));
    assertEquals(message, e.getMessage());
    assertEquals(ErrorCode.INVALID_ARGUMENT, e.code());
  }

  @Test
  void takesEveryFieldAsItIsSet() {
    LayerConfig config =
        LayerConfig.of(
            MoeLayerConfig.newBuilder()
                .setHiddenSize(16)
                .setNumExperts(8)
                .setEpSize(4)
                .setK(3)
                .setCapacityFactor(1.25)
                .setEvalCapacityFactor(0)
                .setMinCapacity(0)
                .setUseResidual(true)
                .setNoisyGatePolicy("RSample")
                .setMissingExperts("drop")
                .setDropTokens(false)
                .setUseRts(false)
                .setUseTutel(true)
                .setEnableExpertTensorParallelism(true)
                .setTop22NdExpertSampling(false)
                .setMlp(MlpExpert.newBuilder().setActivation("silu").setFc1("up").setFc2("down"))
                .setWeights(
                    Weights.newBuilder()
                        .addFiles("a.safetensors")
                        .addFiles("b.safetensors")
                        .setGate("g")
                        .setCoefficient("c")
                        .setExpert("e{expert}")
                        .setResidual("r"))
                .build());
    assertEquals(
        new LayerConfig(
            16,
            8,
            4,
            3,
            1.25,
            0,
            0,
            true,
            NoisyGatePolicy.RSAMPLE,
            false,
            false,
            true,
            true,
            false,
            new ExpertArchitecture.Mlp(Activation.SILU, "up", "down"),
            new WeightNames(
                List.of("a.safetensors", "b.safetensors"),
                "g",
                "c",
                "e{expert}",
                "r",
                Optional.empty(),
                Optional.empty(),
                "shared_expert",
                Optional.empty()),
            MissingExperts.DROP,
            Precision.FP32,
            Scoring.deepSpeed(3),
            false),
        config);
    assertEquals(8, config.denseExpert());
    assertEquals(9, config.hostedExperts());
    assertEquals("e7", config.weights().expertPrefix(7));
  }

  @Test
  void hostsNoResidualExpertWithoutUseResidual() {
    assertEquals(8, LayerConfig.of(right().build()).hostedExperts());
  }

  @ParameterizedTest
  @CsvSource({"'', NONE", "None, NONE", "Jitter, JITTER", "RSample, RSAMPLE"})
  void takesTheNoisyGatePoliciesOfDeepSpeed(String name, NoisyGatePolicy policy) {
    assertEquals(
        policy, LayerConfig.of(right().setNoisyGatePolicy(name).build()).noisyGatePolicy());
  }

  @ParameterizedTest
  @CsvSource({"relu, RELU", "gelu, GELU", "gelu_tanh, GELU_TANH", "silu, SILU"})
  void takesTheActivations(String name, Activation activation) {
    MoeLayerConfig proto = right().setMlp(MlpExpert.newBuilder().setActivation(name)).build();
    assertEquals(
        new ExpertArchitecture.Mlp(activation, "fc1", "fc2"), LayerConfig.of(proto).expert());
  }

  @Test
  void namesOnnxFilesByDefaultAndAsTold() {
    ExpertArchitecture.Onnx byDefault = onnx(OnnxExpert.getDefaultInstance());
    assertEquals("expert_7.onnx", byDefault.fileOf(7));
    assertEquals("mlp.onnx", byDefault.residualFile());
    ExpertArchitecture.Onnx told =
        onnx(
            OnnxExpert.newBuilder()
                .setFile("{expert}/e{expert}.onnx")
                .setResidualFile("r")
                .build());
    assertEquals("12/e12.onnx", told.fileOf(12));
    assertEquals("r", told.residualFile());
  }

  private static ExpertArchitecture.Onnx onnx(OnnxExpert expert) {
    return (ExpertArchitecture.Onnx) LayerConfig.of(right().setOnnx(expert).build()).expert();
  }

  @Test
  void letsALayerOfOneExpertNameItWithoutANumber() {
    Weights weights = Weights.newBuilder().setExpert("only").build();
    LayerConfig config = LayerConfig.of(right().setNumExperts(1).setWeights(weights).build());
    assertEquals("only", config.weights().expertPrefix(0));
    LayerConfig.of(
        right().setNumExperts(1).setOnnx(OnnxExpert.newBuilder().setFile("e.onnx")).build());
  }

  static Stream<Arguments> wrongArguments() {
    return Stream.of(
        wrong(right().clearHiddenSize(), "hidden_size", "0", "a whole number from 1"),
        wrong(right().setHiddenSize(-1), "hidden_size", "-1", "a whole number from 1"),
        wrong(right().setNumExperts(0), "num_experts", "0", "a whole number from 1"),
        wrong(right().setNumExperts(-8), "num_experts", "-8", "a whole number from 1"),
        wrong(right().setEpSize(3), "ep_size", "3", "a divisor of num_experts 8"),
        wrong(right().setEpSize(16), "ep_size", "16", "a divisor of num_experts 8"),
        wrong(right().setEpSize(0), "ep_size", "0", "a divisor of num_experts 8"),
        wrong(right().setEpSize(-2), "ep_size", "-2", "a divisor of num_experts 8"),
        wrong(right().setK(9), "k", "9", "from 1 to num_experts 8"),
        wrong(right().setK(0), "k", "0", "from 1 to num_experts 8"),
        wrong(right().setK(-1), "k", "-1", "from 1 to num_experts 8"),
        wrong(right().setCapacityFactor(-0.5), "capacity_factor", "-0.5", FACTOR),
        wrong(right().setCapacityFactor(Double.NaN), "capacity_factor", "NaN", FACTOR),
        wrong(
            right().setCapacityFactor(Double.POSITIVE_INFINITY),
            "capacity_factor",
            "Infinity",
            FACTOR),
        wrong(right().setEvalCapacityFactor(-1), "eval_capacity_factor", "-1.0", FACTOR),
        wrong(right().setEvalCapacityFactor(Double.NaN), "eval_capacity_factor", "NaN", FACTOR),
        wrong(
            right().setEvalCapacityFactor(Double.NEGATIVE_INFINITY),
            "eval_capacity_factor",
            "-Infinity",
            FACTOR),
        wrong(right().setMinCapacity(-1), "min_capacity", "-1", "a whole number from 0"),
        wrong(
            right().setNoisyGatePolicy("jitter"),
            "noisy_gate_policy",
            "jitter",
            "\"None\", \"Jitter\" or \"RSample\""),
        wrong(right().setMissingExperts("DROP"), "missing_experts", "DROP", "\"fail\" or \"drop\""),
        wrong(
            right().setMlp(MlpExpert.newBuilder().setActivation("ReLU")),
            "mlp.activation",
            "ReLU",
            "one of relu, gelu, gelu_tanh, silu"),
        wrong(
            right().setMlp(MlpExpert.getDefaultInstance()),
            "mlp.activation",
            "",
            "one of relu, gelu, gelu_tanh, silu"),
        wrong(
            right().setWeights(Weights.newBuilder().setExpert("experts.0")),
            "weights.expert",
            "experts.0",
            "a name with {expert} in it"),
        wrong(
            right().setOnnx(OnnxExpert.newBuilder().setFile("expert.onnx")),
            "onnx.file",
            "expert.onnx",
            "a name with {expert} in it"),
        wrong(files("m", "../other/m"), "weights.files", "../other/m", IN_FOLDER),
        wrong(files("/etc/passwd"), "weights.files", "/etc/passwd", IN_FOLDER),
        wrong(files("a/../../b"), "weights.files", "a/../../b", IN_FOLDER),
        wrong(files("a\0b"), "weights.files", "a\0b", IN_FOLDER),
        wrong(files(".."), "weights.files", "..", IN_FOLDER),
        wrong(files(""), "weights.files", "", IN_FOLDER),
        wrong(
            right().setOnnx(OnnxExpert.newBuilder().setFile("../{expert}.onnx")),
            "onnx.file",
            "../{expert}.onnx",
            IN_FOLDER),
        wrong(
            right().setOnnx(OnnxExpert.newBuilder().setResidualFile("/mlp.onnx")),
            "onnx.residual_file",
            "/mlp.onnx",
            IN_FOLDER));
  }

  private static MoeLayerConfig.Builder files(String... names) {
    return right().setWeights(Weights.newBuilder().addAllFiles(List.of(names)));
  }

  private static Arguments wrong(
      MoeLayerConfig.Builder config, String field, String value, String rule) {
    return arguments(field, value, rule, config.build());
  }

  @ParameterizedTest(name = "{0} {1}")
  @MethodSource("wrongArguments")
  void refusesNamingFieldValueAndRule(
      String field, String value, String rule, MoeLayerConfig config) {
    GuildhallException e = assertThrows(GuildhallException.class, () -> LayerConfig.of(config));
    assertEquals(ErrorCode.INVALID_ARGUMENT, e.code());
    assertEquals("%s is %s; allowed is %s".formatted(field, value, rule), e.getMessage());
  }

  @Test
  void refusesALayerWithoutAnArchitecture() {
    GuildhallException e =
        assertThrows(
            GuildhallException.class,
            () -> LayerConfig.of(MoeLayerConfig.newBuilder().setHiddenSize(4).build()));
    assertEquals(
        "the expert's architecture is missing: set \"mlp\", \"gated_mlp\" or \"onnx\"",
        e.getMessage());
  }
}
