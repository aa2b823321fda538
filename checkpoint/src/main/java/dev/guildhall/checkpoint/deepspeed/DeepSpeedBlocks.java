package dev.guildhall.checkpoint.deepspeed;

import static dev.guildhall.checkpoint.deepspeed.TensorName.EXPERTS;
import static dev.guildhall.checkpoint.deepspeed.TensorName.GATE;
import static java.util.Objects.requireNonNull;

import dev.guildhall.checkpoint.MoeBlock;
import dev.guildhall.error.GuildhallException;
import dev.guildhall.proto.MlpExpert;
import dev.guildhall.proto.MoeLayerConfig;
import dev.guildhall.proto.Weights;
import dev.guildhall.safetensors.StoredTensor;
import dev.guildhall.safetensors.TensorSource;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** DeepSpeed's MoE modules as layers of ours; all have the same arguments. */
final class DeepSpeedBlocks {
  private static final String WEIGHT = ".weight";

  /** What torch.compile puts before a module's name. */
  private static final String COMPILED = "_orig_mod.";

  private final DeepSpeedArguments arguments;
  private final int k;
  private final List<String> notes;

  /**
   * @throws GuildhallException INVALID_ARGUMENT if k is not given, which has no usual value
   */
  DeepSpeedBlocks(DeepSpeedArguments arguments) {
    this.arguments = arguments;
    this.notes = new ArrayList<>(arguments.notes());
    this.k =
        arguments
            .k()
            .orElseThrow(() ->
                GuildhallException.invalidArgument(
                    "a DeepSpeed checkpoint does not tell how many experts a token goes to: give"
                        + " --k, and --capacity-factor, --eval-capacity-factor, --min-capacity,"
                        + " --activation and so on where they are not DeepSpeed's defaults"));
  }

  /**
   * @param files .safetensors files that have the tensors
   */
  MoeBlock block(DeepSpeedLayer layer, List<Path> files) {
    String prefix = layer.prefix().isEmpty() ? "" : layer.prefix() + ".";
    Map<String, TensorSource> tensors = new LinkedHashMap<>();
    layer.dense().forEach((name, tensor) -> tensors.put(prefix + name, tensor));
    for (int expert = 0; expert < layer.numExperts(); expert++) {
      String of = prefix + EXPERTS + expert + ".";
      layer.experts().get(expert).forEach((name, tensor) -> tensors.put(of + name, tensor));
    }
    String module = layer.prefix().replace(COMPILED, "");
    return new MoeBlock(
        module.isEmpty() ? "moe" : module, config(layer, prefix), () -> tensors, files);
  }

  /** What was taken for granted that changes the outputs. */
  List<String> notes() {
    return List.copyOf(notes);
  }

  private MoeLayerConfig config(DeepSpeedLayer layer, String prefix) {
    StoredTensor gate = layer.dense().get(GATE);
    if (gate == null || gate.shape().size() != 2) {
      throw GuildhallException.invalidArgument(
          "MoE layer \"%s\" has no gate weight %s of two dimensions"
              .formatted(layer.prefix(), GATE));
    }
    int hiddenSize = Math.toIntExact(gate.shape().getLast());
    MoeLayerConfig.Builder config =
        MoeLayerConfig.newBuilder()
            .setHiddenSize(hiddenSize)
            .setNumExperts(layer.numExperts())
            .setK(k)
            .setUseResidual(layer.dense().containsKey("coefficient.weight"))
            .setMlp(mlp(layer, hiddenSize))
            .setWeights(
                Weights.newBuilder()
                    .setGate(prefix + GATE)
                    .setCoefficient(prefix + "coefficient")
                    .setExpert(prefix + EXPERTS + "{expert}")
                    .setResidual(prefix + "mlp"));
    arguments.capacityFactor().ifPresent(config::setCapacityFactor);
    arguments.evalCapacityFactor().ifPresent(config::setEvalCapacityFactor);
    arguments.minCapacity().ifPresent(config::setMinCapacity);
    arguments.noisyGatePolicy().ifPresent(config::setNoisyGatePolicy);
    arguments.dropTokens().ifPresent(config::setDropTokens);
    arguments.useRts().ifPresent(config::setUseRts);
    arguments.top2SecondExpertSampling().ifPresent(config::setTop22NdExpertSampling);
    return config.build();
  }

  /** Experts are the user's own modules: two linear maps under any names can be told by shape. */
  private MlpExpert mlp(DeepSpeedLayer layer, int hiddenSize) {
    Map<String, StoredTensor> expert = layer.experts().getFirst();
    List<String> maps =
        expert.entrySet().stream()
            .filter(
                entry -> entry.getKey().endsWith(WEIGHT) && entry.getValue().shape().size() == 2)
            .map(entry -> entry.getKey().substring(0, entry.getKey().length() - WEIGHT.length()))
            .toList();
    if (maps.size() != 2) {
      throw GuildhallException.invalidArgument(
          "the experts of MoE layer \"%s\" have the tensors %s; allowed are two linear maps, [ffn_size, %d] and back: export others as .onnx"
              .formatted(layer.prefix(), expert.keySet(), hiddenSize));
    }
    List<Long> first = requireNonNull(expert.get(maps.getFirst() + WEIGHT)).shape();
    boolean inOrder = first.getLast() == hiddenSize;
    if (inOrder && first.getFirst() == hiddenSize) {
      notes.add(
          "layer \"%s\": both maps of its experts are %s; \"%s\" is taken to be the first"
              .formatted(layer.prefix(), first, maps.getFirst()));
    }
    return MlpExpert.newBuilder()
        .setActivation(arguments.activation().orElse(DeepSpeedArguments.USUAL_ACTIVATION))
        .setFc1(inOrder ? maps.getFirst() : maps.getLast())
        .setFc2(inOrder ? maps.getLast() : maps.getFirst())
        .build();
  }
}
