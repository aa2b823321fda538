package dev.guildhall.repository;

import static dev.guildhall.error.GuildhallException.invalidArgument;

import dev.guildhall.error.ErrorCode;
import dev.guildhall.error.GuildhallException;
import dev.guildhall.safetensors.SafetensorsFile;
import dev.guildhall.safetensors.StoredTensor;
import dev.guildhall.tensor.DType;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;

/**
 * A layer's weights, mapped from its .safetensors files: whoever asks for one expert's touches no
 * others'.
 *
 * <p>The memory handed out is valid until this is closed.
 */
public final class LayerWeights implements AutoCloseable {
  private static final int COEFFICIENTS = 2;

  /**
   * A linear map as torch.nn.Linear keeps it, fp32.
   *
   * @param weight [out, in]
   * @param bias [out], if there is one
   */
  public record Linear(MemorySegment weight, Optional<MemorySegment> bias, int outSize) {}

  /**
   * The residual coefficient, fp32.
   *
   * @param weight [2, H]
   * @param bias [2]
   */
  public record Coefficient(MemorySegment weight, MemorySegment bias) {}

  /** An mlp's two maps: [F, H] and [H, F]. */
  public record Mlp(Linear fc1, Linear fc2) {}

  private final Layer layer;
  private final List<SafetensorsFile> files;

  private LayerWeights(Layer layer, List<SafetensorsFile> files) {
    this.layer = layer;
    this.files = files;
  }

  /**
   * Opens the layer's files.
   *
   * @throws GuildhallException NOT_FOUND or INVALID_ARGUMENT naming the file and what is wrong
   */
  public static LayerWeights open(Layer layer) {
    List<SafetensorsFile> files = new ArrayList<>();
    LayerWeights weights = new LayerWeights(layer, files);
    try {
      for (String file : layer.config().weights().files()) {
        files.add(SafetensorsFile.open(layer.folder().resolve(file)));
      }
      return weights;
    } catch (RuntimeException e) {
      weights.close();
      throw e;
    }
  }

  /** The gate's weight, [E, H] fp32. */
  public MemorySegment gate() {
    LayerConfig config = layer.config();
    return tensor(config.weights().gate(), config.numExperts(), config.hiddenSize());
  }

  public Coefficient coefficient() {
    String prefix = layer.config().weights().coefficient();
    return new Coefficient(
        tensor(prefix + ".weight", COEFFICIENTS, layer.config().hiddenSize()),
        tensor(prefix + ".bias", COEFFICIENTS));
  }

  /**
   * The weights of an expert of the architecture mlp.
   *
   * @param expert 0 to E-1, or E for the residual MLP
   */
  public Mlp mlp(ExpertArchitecture.Mlp architecture, int expert) {
    LayerConfig config = layer.config();
    String prefix =
        expert == config.residualExpert()
            ? config.weights().residual()
            : config.weights().expertPrefix(expert);
    String fc1 = prefix + "." + architecture.fc1();
    List<Long> shape = find(fc1 + ".weight").shape();
    if (shape.size() != 2 || shape.getFirst() < 1 || shape.getFirst() > Integer.MAX_VALUE) {
      throw wrongShape(fc1 + ".weight", shape, "[ffn_size, %d]".formatted(config.hiddenSize()));
    }
    int ffnSize = shape.getFirst().intValue();
    return new Mlp(
        linear(fc1, ffnSize, config.hiddenSize()),
        linear(prefix + "." + architecture.fc2(), config.hiddenSize(), ffnSize));
  }

  /**
   * The file of an expert that is given as ONNX.
   *
   * @param expert 0 to E-1, or E for the residual MLP
   */
  public static Path onnxFile(Layer layer, ExpertArchitecture.Onnx architecture, int expert) {
    return layer
        .folder()
        .resolve(
            expert == layer.config().residualExpert()
                ? architecture.residualFile()
                : architecture.fileOf(expert));
  }

  private Linear linear(String prefix, int outSize, int inSize) {
    String bias = prefix + ".bias";
    return new Linear(
        tensor(prefix + ".weight", outSize, inSize),
        has(bias) ? Optional.of(tensor(bias, outSize)) : Optional.empty(),
        outSize);
  }

  private MemorySegment tensor(String name, long... shape) {
    StoredTensor tensor = find(name);
    List<Long> expected = Arrays.stream(shape).boxed().toList();
    if (!tensor.shape().equals(expected)) {
      throw wrongShape(name, tensor.shape(), expected.toString());
    }
    if (tensor.dtype() != DType.FP32) {
      throw invalidArgument(
          "layer %s: tensor \"%s\" is %s; allowed is FP32"
              .formatted(layer.name(), name, tensor.dtype()));
    }
    return tensor.data();
  }

  private GuildhallException wrongShape(String name, List<Long> shape, String allowed) {
    return invalidArgument(
        "layer %s: tensor \"%s\" has shape %s; allowed is %s"
            .formatted(layer.name(), name, shape, allowed));
  }

  private boolean has(String name) {
    return files.stream().anyMatch(file -> file.tensors().containsKey(name));
  }

  private StoredTensor find(String name) {
    for (SafetensorsFile file : files) {
      if (file.tensors().containsKey(name)) {
        return file.tensor(name);
      }
    }
    if (files.size() == 1) {
      return files.getFirst().tensor(name); // Says what the file has instead.
    }
    throw new GuildhallException(
        ErrorCode.NOT_FOUND,
        "layer %s: no tensor \"%s\" in %s"
            .formatted(layer.name(), name, layer.config().weights().files()));
  }

  @Override
  public void close() {
    files.forEach(SafetensorsFile::close);
  }
}
