package dev.guildhall.repository;

import dev.guildhall.error.GuildhallException;
import dev.guildhall.proto.MlpExpert;
import dev.guildhall.proto.MoeLayerConfig;
import dev.guildhall.proto.OnnxExpert;
import dev.guildhall.proto.Weights;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.stream.Collectors;

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
    MissingExperts missingExperts) {

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
        missingExperts(proto.getMissingExperts()));
  }

  /** Index under which the residual MLP is hosted and exchanged: one past the last expert. */
  public int residualExpert() {
    return numExperts;
  }

  /** Experts to host: E, and one more with a residual MLP. */
  public int hostedExperts() {
    return useResidual ? numExperts + 1 : numExperts;
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
            activation(mlp.getActivation()),
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
      case EXPERT_NOT_SET ->
          throw GuildhallException.invalidArgument(
              "the expert's architecture is missing: set \"mlp\" or \"onnx\"");
    };
  }

  private static Activation activation(String name) {
    return Arrays.stream(Activation.values())
        .filter(activation -> activation.configName().equals(name))
        .findFirst()
        .orElseThrow(() ->
            wrong(
                "mlp.activation",
                name,
                Arrays.stream(Activation.values())
                    .map(Activation::configName)
                    .collect(Collectors.joining(", ", "one of ", ""))));
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
        weights.hasResidual() ? weights.getResidual() : "mlp");
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
