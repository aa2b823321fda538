package dev.guildhall.cli;

import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import dev.guildhall.safetensors.SafetensorsWriter;
import dev.guildhall.safetensors.StoredTensor;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;

/** Writes layers of random weights. */
public final class LayerFiles {
  private static final int FFN_SIZE = 24;

  private LayerFiles() {}

  /**
   * A layer of mlp experts.
   *
   * @param json layer.json with hidden_size and num_experts, without the expert
   */
  static void mlp(Path repository, String name, String json) throws IOException {
    mlp(repository, name, json, 0);
  }

  /** The same with other weights for each seed. */
  public static void mlp(Path repository, String name, String json, long seed) throws IOException {
    JsonObject config = JsonParser.parseString(json).getAsJsonObject();
    config.add("mlp", JsonParser.parseString("{\"activation\": \"gelu\"}"));
    int hidden = config.get("hidden_size").getAsInt();
    int experts = config.get("num_experts").getAsInt();
    Map<String, StoredTensor> tensors = new LinkedHashMap<>();
    gate(tensors, experts, hidden, seed);
    for (int expert = 0; expert < experts; expert++) {
      String prefix = "experts." + expert;
      random(tensors, seed, prefix + ".fc1.weight", FFN_SIZE, hidden);
      random(tensors, seed, prefix + ".fc1.bias", FFN_SIZE);
      random(tensors, seed, prefix + ".fc2.weight", hidden, FFN_SIZE);
      random(tensors, seed, prefix + ".fc2.bias", hidden);
    }
    write(repository.resolve(name), config, tensors);
  }

  /** A layer's layer.json and its gate; experts that are .onnx files are the caller's. */
  static Path onnx(Path repository, String name, String json) throws IOException {
    JsonObject config = JsonParser.parseString(json).getAsJsonObject();
    config.add("onnx", new JsonObject());
    Map<String, StoredTensor> tensors = new LinkedHashMap<>();
    gate(tensors, config.get("num_experts").getAsInt(), config.get("hidden_size").getAsInt(), 0);
    Path folder = repository.resolve(name);
    write(folder, config, tensors);
    return folder;
  }

  private static void gate(Map<String, StoredTensor> tensors, int experts, int hidden, long seed) {
    random(tensors, seed, "gate.wg.weight", experts, hidden);
  }

  private static void random(
      Map<String, StoredTensor> tensors, long seed, String name, int... shape) {
    int elements = 1;
    long[] dimensions = new long[shape.length];
    for (int i = 0; i < shape.length; i++) {
      elements *= shape[i];
      dimensions[i] = shape[i];
    }
    tensors.put(name, Tensors.fp32(Tensors.random(seed + name.hashCode(), elements), dimensions));
  }

  private static void write(Path folder, JsonObject config, Map<String, StoredTensor> tensors)
      throws IOException {
    Files.createDirectories(folder);
    Files.writeString(folder.resolve("layer.json"), config.toString());
    SafetensorsWriter.write(folder.resolve("model.safetensors"), tensors, Map.of());
  }
}
