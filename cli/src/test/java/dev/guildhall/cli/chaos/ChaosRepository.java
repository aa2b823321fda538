package dev.guildhall.cli.chaos;

import dev.guildhall.cli.Digits;
import dev.guildhall.cli.Tensors;
import dev.guildhall.safetensors.SafetensorsWriter;
import dev.guildhall.safetensors.StoredTensor;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;

/** The model repository of these tests: the example layer, and one whose experts take a while. */
final class ChaosRepository {
  static final String WIDE = "wide";
  static final int WIDE_HIDDEN_SIZE = 512;
  static final int WIDE_EXPERTS = 8;

  /** Much to compute a byte sent, so that whoever offers load does not use up the processors. */
  static final String HEAVY = "heavy";

  static final int HEAVY_HIDDEN_SIZE = 256;

  private static final int WIDE_FFN_SIZE = 2048;
  private static final int HEAVY_FFN_SIZE = 8192;

  private ChaosRepository() {}

  static void write(Path repository) throws IOException {
    Path digits = Files.createDirectories(repository.resolve(Digits.LAYER));
    for (String file : new String[] {"layer.json", "model.safetensors"}) {
      Files.copy(Digits.REPOSITORY.resolve(Digits.LAYER).resolve(file), digits.resolve(file));
    }
    write(repository.resolve(WIDE), WIDE_HIDDEN_SIZE, WIDE_FFN_SIZE);
  }

  static void writeHeavy(Path repository) throws IOException {
    write(repository.resolve(HEAVY), HEAVY_HIDDEN_SIZE, HEAVY_FFN_SIZE);
  }

  private static void write(Path folder, int hiddenSize, int ffnSize) throws IOException {
    Files.createDirectories(folder);
    Files.writeString(
        folder.resolve("layer.json"),
        """
        {
          "hidden_size": %d,
          "num_experts": %d,
          "k": 2,
          "mlp": { "activation": "gelu" }
        }
        """
            .formatted(hiddenSize, WIDE_EXPERTS));
    Map<String, StoredTensor> tensors = new LinkedHashMap<>();
    random(tensors, "gate.wg.weight", WIDE_EXPERTS, hiddenSize);
    for (int expert = 0; expert < WIDE_EXPERTS; expert++) {
      String prefix = "experts." + expert;
      random(tensors, prefix + ".fc1.weight", ffnSize, hiddenSize);
      random(tensors, prefix + ".fc1.bias", 1, ffnSize);
      random(tensors, prefix + ".fc2.weight", hiddenSize, ffnSize);
      random(tensors, prefix + ".fc2.bias", 1, hiddenSize);
    }
    SafetensorsWriter.write(folder.resolve("model.safetensors"), tensors, Map.of());
  }

  /**
   * Values of the size that keeps a layer's output as large as its input.
   *
   * @param rows 1 makes a vector
   */
  private static void random(
      Map<String, StoredTensor> tensors, String name, int rows, int columns) {
    float[] values = Tensors.random(name.hashCode(), rows * columns);
    float bound = (float) Math.sqrt(3.0 / columns);
    for (int i = 0; i < values.length; i++) {
      values[i] *= bound;
    }
    tensors.put(
        name, rows == 1 ? Tensors.fp32(values, columns) : Tensors.fp32(values, rows, columns));
  }
}
