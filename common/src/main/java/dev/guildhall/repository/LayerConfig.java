package dev.guildhall.repository;

import dev.guildhall.error.GuildhallException;
import dev.guildhall.proto.GatedMlpExpert;
import dev.guildhall.proto.MlpExpert;
import dev.guildhall.proto.MoeLayerConfig;
import dev.guildhall.proto.OnnxExpert;
import dev.guildhall.proto.Weights;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.function.Function;

/**
 * A layer's configuration, checked and with every default filled in. The first fourteen components
 * are the constructor arguments of DeepSpeed's {@code deepspeed.moe.layer.MoE}.
 *
 * @param hiddenSize H, the width of a token
 * @param numExperts E
 * @param epSize into how many expert parallel ranks the experts are cut
 * @param k experts a token goes to
 */
public record LayerConfig(
    int hiddenSize,
    int numExperts,
    int epSize,
    int k,
    double capacityFactor,
    double evalCapacityFactor,
    int minCapacity,
    boolean useResidual,
    NoisyGatePolicy noisyGatePolicy,
    boolean dropTokens,
    boolean useRts,
    boolean useTutel,
    boolean enableExpertTensorParallelism,
    boolean top2SecondExpertSampling,
    ExpertArchitecture expert,
    WeightNames weights,
    MissingExperts missingExperts,
    Precision precision,
    Scoring scoring,
    boolean useSharedExpert) {

  private static final Map<String, Activation> ACTIVATIONS =
      byName(Activation.values(), Activation::configName);
  private static final Map<String, Precision> PRECISIONS =
      byName(Precision.values(), Precision::configName);
  private static final Map<String, Scoring.ScoreFunction> SCORE_FUNCTIONS =
      byName(Scoring.ScoreFunction.values(), LayerConfig::lowerCase);
  private static final Map<String, Scoring.GroupScore> GROUP_SCORES =
      byName(Scoring.GroupScore.values(), LayerConfig::lowerCase);

  public LayerConfig {
    check(hiddenSize >= 1, "hidden_size", hiddenSize, "a whole number from 1");
    check(numExperts >= 1, "num_experts", numExperts, "a whole number from 1");
    check(
        epSize >= 1 && numExperts % epSize == 0,
        "ep_size",
        epSize,
        "a divisor of num_experts " + numExperts);
    check(k >= 1 && k <= numExperts, "k", k, "from 1 to num_experts " + numExperts);
    checkFactor("capacity_factor", capacityFactor);
    checkFactor("eval_capacity_factor", evalCapacityFactor);
    check(minCapacity >= 0, "min_capacity", minCapacity, "a whole number from 0");
    check(
        !(useResidual && useSharedExpert),
        "use_shared_expert",
        true,
        "false beside use_residual: a layer has one of them");
    check(
        precision == Precision.FP32 || !(expert instanceof ExpertArchitecture.Onnx),
        "precision",
        precision.configName(),
        "nothing beside onnx, whose files say what is computed");
    checkFactor("routed_scaling_factor", scoring.scale());
    Optional<Scoring.Groups> groups = scoring.groups();
    if (groups.isPresent()) {
      checkGroups(groups.get(), numExperts, k);
    }
    if (groups.isPresent()
        || scoring.function() != Scoring.ScoreFunction.SOFTMAX
        || weights.scoreCorrectionBias().isPresent()) {
      checkNoSampling(k, noisyGatePolicy, top2SecondExpertSampling);
    }
  }

  /** DeepSpeed samples by logits, which decide nothing in gates that are not its own. */
  private static void checkNoSampling(
      int k, NoisyGatePolicy noisyGatePolicy, boolean top2SecondExpertSampling) {
    check(
        noisyGatePolicy != NoisyGatePolicy.RSAMPLE,
        "noisy_gate_policy",
        "RSample",
        "\"None\" or \"Jitter\" with sigmoid scores, groups or a score_correction_bias");
    check(
        k != 2 || !top2SecondExpertSampling,
        "top2_2nd_expert_sampling",
        true,
        "false with sigmoid scores, groups or a score_correction_bias");
  }

  private static void checkGroups(Scoring.Groups groups, int numExperts, int k) {
    check(
        groups.count() >= 1 && numExperts % groups.count() == 0,
        "n_group",
        groups.count(),
        "a divisor of num_experts " + numExperts);
    int each = numExperts / groups.count();
    check(
        groups.used() >= 1 && groups.used() <= groups.count() && groups.used() * each >= k,
        "topk_group",
        groups.used(),
        "from 1 to n_group %d, of which each has %d experts, so that k %d can be chosen"
            .formatted(groups.count(), each, k));
    check(
        groups.score() != Scoring.GroupScore.TOP2_SUM || each >= 2,
        "group_score",
        "top2_sum",
        "\"max\" where groups have one expert");
  }

  /**
   * Reads the proto form.
   *
   * @throws GuildhallException INVALID_ARGUMENT naming the field, its value and what is allowed
   */
  public static LayerConfig of(MoeLayerConfig proto) {
    return new LayerConfig(
        proto.getHiddenSize(),
        proto.hasNumExperts() ? proto.getNumExperts() : 1,
        proto.hasEpSize() ? proto.getEpSize() : 1,
        proto.hasK() ? proto.getK() : 1,
        proto.hasCapacityFactor() ? proto.getCapacityFactor() : 1.0,
        proto.hasEvalCapacityFactor() ? proto.getEvalCapacityFactor() : 1.0,
        proto.hasMinCapacity() ? proto.getMinCapacity() : 4,
        proto.getUseResidual(),
        noisyGatePolicy(proto.getNoisyGatePolicy()),
        !proto.hasDropTokens() || proto.getDropTokens(),
        !proto.hasUseRts() || proto.getUseRts(),
        proto.getUseTutel(),
        proto.getEnableExpertTensorParallelism(),
        !proto.hasTop22NdExpertSampling() || proto.getTop22NdExpertSampling(),
        expert(proto),
        weights(proto),
        missingExperts(proto.getMissingExperts()),
        named("precision", proto.getPrecision(), Precision.FP32, PRECISIONS),
        scoring(proto),
        proto.getUseSharedExpert());
  }

  /** Whether an expert computes every token: the residual MLP, or the shared expert. */
  public boolean hasDenseExpert() {
    return useResidual || useSharedExpert;
  }

  /** Index under which that one is hosted and exchanged: one past the last expert. */
  public int denseExpert() {
    return numExperts;
  }

  /** Experts to host: E, and one more with a dense one. */
  public int hostedExperts() {
    return hasDenseExpert() ? numExperts + 1 : numExperts;
  }

  /**
   * What the names of an expert's tensors begin with, up to a dot.
   *
   * @param expert 0 to E-1, or E for the dense one
   */
  public String expertPrefix(int expert) {
    if (expert < numExperts) {
      return weights.expertPrefix(expert);
    }
    return useResidual ? weights.residual() : weights.sharedExpert();
  }

  private static Scoring scoring(MoeLayerConfig proto) {
    Scoring usual = Scoring.deepSpeed(proto.hasK() ? proto.getK() : 1);
    Scoring.Groups groups =
        new Scoring.Groups(
            proto.hasNGroup() ? proto.getNGroup() : 1,
            proto.hasTopkGroup() ? proto.getTopkGroup() : 1,
            named("group_score", proto.getGroupScore(), Scoring.GroupScore.MAX, GROUP_SCORES));
    check(
        proto.hasNGroup() || proto.getGroupScore().isEmpty(),
        "group_score",
        proto.getGroupScore(),
        "nothing without n_group");
    boolean grouped = groups.count() != 1 || groups.used() != 1;
    return new Scoring(
        named("score_function", proto.getScoreFunction(), usual.function(), SCORE_FUNCTIONS),
        proto.hasNormTopkProb() ? proto.getNormTopkProb() : usual.normTopK(),
        proto.hasRoutedScalingFactor() ? proto.getRoutedScalingFactor() : usual.scale(),
        grouped ? Optional.of(groups) : Optional.empty());
  }

  /** The value that a name stands for; {@code absent} if there is none. */
  private static <T> T named(String field, String name, T absent, Map<String, T> values) {
    return name.isEmpty() ? absent : named(field, name, values);
  }

  private static <T> T named(String field, String name, Map<String, T> values) {
    T value = values.get(name);
    if (value == null) {
      throw wrong(field, name, "one of " + String.join(", ", values.keySet()));
    }
    return value;
  }

  private static NoisyGatePolicy noisyGatePolicy(String name) {
    return switch (name) {
      case "", "None" -> NoisyGatePolicy.NONE;
      case "Jitter" -> NoisyGatePolicy.JITTER;
      case "RSample" -> NoisyGatePolicy.RSAMPLE;
      default -> throw wrong("noisy_gate_policy", name, "\"None\", \"Jitter\" or \"RSample\"");
    };
  }

  private static MissingExperts missingExperts(String name) {
    return switch (name) {
      case "", "fail" -> MissingExperts.FAIL;
      case "drop" -> MissingExperts.DROP;
      default -> throw wrong("missing_experts", name, "\"fail\" or \"drop\"");
    };
  }

  private static ExpertArchitecture expert(MoeLayerConfig proto) {
    return switch (proto.getExpertCase()) {
      case MLP -> {
        MlpExpert mlp = proto.getMlp();
        yield new ExpertArchitecture.Mlp(
            named("mlp.activation", mlp.getActivation(), ACTIVATIONS),
            mlp.hasFc1() ? mlp.getFc1() : "fc1",
            mlp.hasFc2() ? mlp.getFc2() : "fc2");
      }
      case ONNX -> {
        OnnxExpert onnx = proto.getOnnx();
        yield new ExpertArchitecture.Onnx(
            onnx.hasFile()
                ? inFolder("onnx.file", oneEach(proto, "onnx.file", onnx.getFile()))
                : "expert_{expert}.onnx",
            onnx.hasResidualFile()
                ? inFolder("onnx.residual_file", onnx.getResidualFile())
                : "mlp.onnx");
      }
      case GATED_MLP -> gatedMlp(proto.getGatedMlp());
      case EXPERT_NOT_SET ->
          throw GuildhallException.invalidArgument(
              "the expert's architecture is missing: set \"mlp\", \"gated_mlp\" or \"onnx\"");
    };
  }

  private static ExpertArchitecture gatedMlp(GatedMlpExpert gated) {
    Activation activation = named("gated_mlp.activation", gated.getActivation(), ACTIVATIONS);
    double limit = gated.getSwigluLimit();
    check(
        !gated.hasSwigluLimit() || (limit > 0 && !Double.isInfinite(limit)),
        "gated_mlp.swiglu_limit",
        limit,
        "a finite number above 0");
    check(
        !gated.hasSwigluLimit() || activation == Activation.SILU,
        "gated_mlp.activation",
        activation.configName(),
        "\"silu\" with a swiglu_limit");
    check(
        !gated.hasGateUp() || (!gated.hasGate() && !gated.hasUp()),
        "gated_mlp.gate_up",
        gated.getGateUp(),
        "nothing beside \"gate\" and \"up\"");
    check(
        gated.hasGateUp() || !gated.getInterleaved(),
        "gated_mlp.interleaved",
        true,
        "false without \"gate_up\"");
    ExpertArchitecture.GatedInput input =
        gated.hasGateUp()
            ? new ExpertArchitecture.GatedInput.Fused(gated.getGateUp(), gated.getInterleaved())
            : new ExpertArchitecture.GatedInput.Apart(
                gated.hasGate() ? gated.getGate() : "gate_proj",
                gated.hasUp() ? gated.getUp() : "up_proj");
    return new ExpertArchitecture.GatedMlp(
        activation,
        gated.hasSwigluLimit() ? Optional.of(limit) : Optional.empty(),
        input,
        gated.hasDown() ? gated.getDown() : "down_proj");
  }

  private static WeightNames weights(MoeLayerConfig proto) {
    Weights weights = proto.getWeights();
    weights.getFilesList().forEach(file -> inFolder("weights.files", file));
    return new WeightNames(
        weights.getFilesCount() == 0 ? List.of("model.safetensors") : weights.getFilesList(),
        weights.hasGate() ? weights.getGate() : "gate.wg.weight",
        weights.hasCoefficient() ? weights.getCoefficient() : "coefficient",
        weights.hasExpert()
            ? oneEach(proto, "weights.expert", weights.getExpert())
            : "experts.{expert}",
        weights.hasResidual() ? weights.getResidual() : "mlp",
        weights.hasGateBias() ? Optional.of(weights.getGateBias()) : Optional.empty(),
        weights.hasScoreCorrectionBias()
            ? Optional.of(weights.getScoreCorrectionBias())
            : Optional.empty(),
        weights.hasSharedExpert() ? weights.getSharedExpert() : "shared_expert",
        weights.hasSharedExpertGate()
            ? Optional.of(weights.getSharedExpertGate())
            : Optional.empty());
  }

  /** Without the expert's number in it, a name would silently give all experts the same weights. */
  private static String oneEach(MoeLayerConfig proto, String field, String name) {
    check(
        proto.getNumExperts() <= 1 || name.contains("{expert}"),
        field,
        name,
        "a name with {expert} in it");
    return name;
  }

  /** A repository may come from strangers; what it names must be in it. */
  private static String inFolder(String field, String name) {
    check(
        !name.isEmpty()
            && !name.startsWith("/")
            && !name.contains("\0")
            && !("/" + name + "/").contains("/../"),
        field,
        name,
        "the relative name of a file in the layer's folder, without \"..\"");
    return name;
  }

  private static <T> Map<String, T> byName(T[] values, Function<T, String> name) {
    Map<String, T> byName = new LinkedHashMap<>();
    Arrays.stream(values).forEach(value -> byName.put(name.apply(value), value));
    return Collections.unmodifiableMap(byName);
  }

  private static String lowerCase(Enum<?> value) {
    return value.name().toLowerCase(Locale.ROOT);
  }

  private static void checkFactor(String field, double value) {
    check(
        value >= 0 && !Double.isInfinite(value),
        field,
        String.format(Locale.ROOT, "%s", value),
        "a finite number from 0");
  }

  private static void check(boolean right, String field, Object value, String allowed) {
    if (!right) {
      throw wrong(field, value, allowed);
    }
  }

  private static GuildhallException wrong(String field, Object value, String allowed) {
    return GuildhallException.invalidArgument(
        "%s is %s; allowed is %s".formatted(field, value, allowed));
  }
}
