package dev.guildhall.cli.bench;

import dev.guildhall.safetensors.SafetensorsWriter;
import dev.guildhall.safetensors.StoredTensor;
import dev.guildhall.tensor.DType;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.SplittableRandom;

/**
 * The shape of a random layer, whose gate drops nothing.
 *
 * @param hidden H
 * @param ffn F of every expert
 */
record RandomLayer(int hidden, int ffn, int experts, int k) {
  static final String NAME = "random";

  /** Writes a model repository with this layer. */
  void write(Path repository) throws IOException {
    Path folder = Files.createDirectories(repository.resolve(NAME));
    Files.writeString(
        folder.resolve("layer.json"),
        """
        {
          "hidden_size": %d,
          "num_experts": %d,
          "k": %d,
          "drop_tokens": false,
          "top2_2nd_expert_sampling": false,
          "mlp": { "activation": "gelu" }
        }
        """
            .formatted(hidden, experts, k));
    SplittableRandom random = new SplittableRandom(1);
    Map<String, StoredTensor> tensors = new LinkedHashMap<>();
    tensors.put("gate.wg.weight", tensor(random, experts, hidden));
    for (int expert = 0; expert < experts; expert++) {
      String prefix = "experts." + expert;
      tensors.put(prefix + ".fc1.weight", tensor(random, ffn, hidden));
      tensors.put(prefix + ".fc1.bias", tensor(random, ffn));
      tensors.put(prefix + ".fc2.weight", tensor(random, hidden, ffn));
      tensors.put(prefix + ".fc2.bias", tensor(random, hidden));
    }
    SafetensorsWriter.write(folder.resolve("model.safetensors"), tensors, Map.of());
  }

  /** Uniform values of the size that keeps a layer's output as large as its input. */
  private static StoredTensor tensor(SplittableRandom random, long... shape) {
    long elements = 1;
    for (long dimension : shape) {
      elements *= dimension;
    }
    float[] values = new float[Math.toIntExact(elements)];
    double bound = Math.sqrt(3.0 / shape[shape.length - 1]);
    for (int i = 0; i < values.length; i++) {
      values[i] = (float) random.nextDouble(-bound, bound);
    }
    return new StoredTensor(
        DType.FP32, Arrays.stream(shape).boxed().toList(), MemorySegment.ofArray(values));
  }
}
