package dev.guildhall.repository;

import static dev.guildhall.error.GuildhallException.invalidArgument;

import dev.guildhall.error.ErrorCode;
import dev.guildhall.error.GuildhallException;
import dev.guildhall.safetensors.SafetensorsFile;
import dev.guildhall.safetensors.StoredTensor;
import dev.guildhall.tensor.DType;
import dev.guildhall.tensor.Floats;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.EnumSet;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * A layer's weights, mapped from its .safetensors files: whoever asks for one expert's touches no
 * others'.
 *
 * <p>The memory handed out is valid until this is closed.
 */
public final class LayerWeights implements AutoCloseable {
  private static final int COEFFICIENTS = 2;
  private static final Set<DType> DTYPES = EnumSet.of(DType.FP32, DType.FP16, DType.BF16);

  /** Where tensors come from. */
  @FunctionalInterface
  public interface Tensors {
    /** The tensor of this name, if there is one. */
    @Nullable StoredTensor find(String name);
  }

  private final Layer layer;
  private final List<SafetensorsFile> files;
  private final Tensors tensors;

  private LayerWeights(Layer layer, List<SafetensorsFile> files, Tensors tensors) {
    this.layer = layer;
    this.files = files;
    this.tensors = tensors;
  }

  /** Of tensors that somebody else keeps valid. */
  public static LayerWeights of(Layer layer, Tensors tensors) {
    return new LayerWeights(layer, List.of(), tensors);
  }

  /**
   * Opens the layer's files.
   *
   * @throws GuildhallException NOT_FOUND or INVALID_ARGUMENT naming the file and what is wrong, a
   *     tensor of the layer that two of them have included
   */
  public static LayerWeights open(Layer layer) {
    WeightNames names = layer.config().weights();
    List<SafetensorsFile> files = new ArrayList<>();
    Map<String, StoredTensor> tensors = new HashMap<>();
    LayerWeights weights = new LayerWeights(layer, files, tensors::get);
    try {
      for (String name : names.files()) {
        SafetensorsFile file = SafetensorsFile.open(layer.folder().resolve(name));
        files.add(file);
        file.tensors()
            .forEach((tensor, data) -> {
              if (tensors.put(tensor, data) != null && names.used(tensor)) {
                throw invalidArgument(
                    "layer %s: tensor \"%s\" is in %s, and in another of its files %s"
                        .formatted(layer.name(), tensor, name, names.files()));
              }
            });
      }
      return weights;
    } catch (RuntimeException e) {
      weights.close();
      throw e;
    }
  }

  /** The gate's map, and that of what mixes the dense expert in. */
  public ProjectionWeights projection() {
    LayerConfig config = layer.config();
    WeightNames names = config.weights();
    int experts = config.numExperts();
    Linear gate =
        new Linear(
            tensor(names.gate(), experts, config.hiddenSize()),
            names.gateBias().map(bias -> tensor(bias, experts)));
    return new ProjectionWeights(gate, mix(config, names));
  }

  private Optional<Linear> mix(LayerConfig config, WeightNames names) {
    if (config.useResidual()) {
      return Optional.of(
          new Linear(
              tensor(names.coefficient() + ".weight", COEFFICIENTS, config.hiddenSize()),
              Optional.of(tensor(names.coefficient() + ".bias", COEFFICIENTS))));
    }
    return config.useSharedExpert()
        ? names
            .sharedExpertGate()
            .map(gate -> new Linear(tensor(gate, 1, config.hiddenSize()), Optional.empty()))
        : Optional.empty();
  }

  /** What is added to the scores when experts are chosen, [E]; [0] if nothing is. */
  public float[] scoreCorrectionBias() {
    Optional<String> name = layer.config().weights().scoreCorrectionBias();
    if (name.isEmpty()) {
      return new float[0];
    }
    StoredTensor tensor = tensor(name.get(), layer.config().numExperts());
    float[] bias = new float[layer.config().numExperts()];
    Floats.toArray(tensor.dtype(), tensor.data(), bias, bias.length);
    return bias;
  }

  /**
   * The weights of an expert that is not given as ONNX.
   *
   * @param expert 0 to E-1, or E for the dense one
   */
  public ExpertWeights expert(int expert) {
    String prefix = layer.config().expertPrefix(expert) + ".";
    return switch (layer.config().expert()) {
      case ExpertArchitecture.Mlp mlp -> {
        Linear fc1 = firstMap(prefix + mlp.fc1());
        yield new ExpertWeights.Mlp(
            fc1,
            mlp.activation(),
            linear(prefix + mlp.fc2(), layer.config().hiddenSize(), fc1.outSize()));
      }
      case ExpertArchitecture.GatedMlp gated -> gated(prefix, gated);
      case ExpertArchitecture.Onnx onnx ->
          throw new IllegalStateException("the weights of " + onnx + " are in files of their own");
    };
  }

  private ExpertWeights gated(String prefix, ExpertArchitecture.GatedMlp gated) {
    GatedPair pair =
        switch (gated.input()) {
          case ExpertArchitecture.GatedInput.Apart apart -> {
            Linear gate = firstMap(prefix + apart.gate());
            yield new GatedPair(
                gate, linear(prefix + apart.up(), gate.outSize(), layer.config().hiddenSize()));
          }
          case ExpertArchitecture.GatedInput.Fused fused -> {
            Linear both = firstMap(prefix + fused.gateUp());
            if (both.outSize() % 2 != 0) {
              throw wrongShape(
                  prefix + fused.gateUp() + ".weight",
                  both.weight().shape(),
                  "[2 ffn_size, %d]".formatted(layer.config().hiddenSize()));
            }
            yield GatedPair.of(both, fused.interleaved());
          }
        };
    return new ExpertWeights.GatedMlp(
        pair.gate(),
        pair.up(),
        gated.activation(),
        gated.swigluLimit(),
        linear(prefix + gated.down(), layer.config().hiddenSize(), pair.gate().outSize()));
  }

  /** A map from H to a size that its weight tells. */
  private Linear firstMap(String name) {
    int hiddenSize = layer.config().hiddenSize();
    List<Long> shape = find(name + ".weight").shape();
    if (shape.size() != 2 || shape.getFirst() < 1 || shape.getFirst() > Integer.MAX_VALUE) {
      throw wrongShape(name + ".weight", shape, "[ffn_size, %d]".formatted(hiddenSize));
    }
    return linear(name, shape.getFirst().intValue(), hiddenSize);
  }

  /**
   * The file of an expert that is given as ONNX.
   *
   * @param expert 0 to E-1, or E for the dense one
   */
  public static Path onnxFile(Layer layer, ExpertArchitecture.Onnx architecture, int expert) {
    return layer
        .folder()
        .resolve(
            expert == layer.config().denseExpert()
                ? architecture.residualFile()
                : architecture.fileOf(expert));
  }

  private Linear linear(String name, int outSize, int inSize) {
    String bias = name + ".bias";
    return new Linear(
        tensor(name + ".weight", outSize, inSize),
        tensors.find(bias) == null ? Optional.empty() : Optional.of(tensor(bias, outSize)));
  }

  private StoredTensor tensor(String name, long... shape) {
    StoredTensor tensor = find(name);
    List<Long> expected = Arrays.stream(shape).boxed().toList();
    if (!tensor.shape().equals(expected)) {
      throw wrongShape(name, tensor.shape(), expected.toString());
    }
    if (!DTYPES.contains(tensor.dtype())) {
      throw invalidArgument(
          "layer %s: tensor \"%s\" is %s; allowed are FP32, FP16 and BF16"
              .formatted(layer.name(), name, tensor.dtype()));
    }
    return tensor;
  }

  private GuildhallException wrongShape(String name, List<Long> shape, String allowed) {
    return invalidArgument(
        "layer %s: tensor \"%s\" has shape %s; allowed is %s"
            .formatted(layer.name(), name, shape, allowed));
  }

  private StoredTensor find(String name) {
    StoredTensor tensor = tensors.find(name);
    if (tensor != null) {
      return tensor;
    }
    if (files.size() == 1) {
      return files.getFirst().tensor(name); // Says what the file has instead.
    }
    throw new GuildhallException(
        ErrorCode.NOT_FOUND,
        files.isEmpty()
            ? "layer %s: there is no tensor \"%s\"".formatted(layer.name(), name)
            : "layer %s: no tensor \"%s\" in %s"
                .formatted(layer.name(), name, layer.config().weights().files()));
  }

  /** Gives up the memory of pages that were read; they are read again when they are touched. */
  public void unload() {
    files.forEach(SafetensorsFile::unload);
  }

  @Override
  public void close() {
    files.forEach(SafetensorsFile::close);
  }
}
