package dev.guildhall.cli;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT_UNALIGNED;
import static java.lang.foreign.ValueLayout.JAVA_INT_UNALIGNED;
import static java.lang.foreign.ValueLayout.JAVA_LONG_UNALIGNED;
import static java.util.Objects.requireNonNull;

import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import dev.guildhall.repository.LayerRepository;
import dev.guildhall.router.gate.NoiseSource;
import dev.guildhall.router.gate.UsedTokens;
import dev.guildhall.safetensors.SafetensorsFile;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;

/**
 * One recorded run of DeepSpeed's layer: its configuration, weights and draws, and what came out.
 */
record GoldenCase(Path path, SafetensorsFile file, JsonObject config) implements AutoCloseable {
  private static final String SUFFIX = ".safetensors";

  /** The keys of a case's config that are arguments of the layer. */
  private static final List<String> LAYER_ARGUMENTS =
      List.of(
          "hidden_size",
          "num_experts",
          "k",
          "capacity_factor",
          "eval_capacity_factor",
          "min_capacity",
          "use_residual",
          "noisy_gate_policy",
          "drop_tokens",
          "use_rts",
          "top2_2nd_expert_sampling");

  static GoldenCase open(Path path) {
    SafetensorsFile file = SafetensorsFile.open(path);
    String config = requireNonNull(file.metadata().get("config"), path + " has no config");
    return new GoldenCase(path, file, JsonParser.parseString(config).getAsJsonObject());
  }

  /** The names of the cases in a folder. */
  static List<String> names(Path folder) throws IOException {
    try (Stream<Path> files = Files.list(folder)) {
      return files
          .map(file -> file.getFileName().toString())
          .filter(file -> file.endsWith(SUFFIX))
          .map(file -> file.substring(0, file.length() - SUFFIX.length()))
          .sorted()
          .toList();
    }
  }

  static GoldenCase named(Path folder, String name) {
    return open(folder.resolve(name + SUFFIX));
  }

  /** Writes the case's layer as a user would have it on disk, its weights being the case itself. */
  LayerRepository writeRepository(Path folder, String layer) throws IOException {
    JsonObject json = new JsonObject();
    LAYER_ARGUMENTS.forEach(argument -> json.add(argument, config.get(argument)));
    JsonObject mlp = new JsonObject();
    mlp.add("activation", config.get("activation"));
    json.add("mlp", mlp);
    Path layerFolder = Files.createDirectories(folder.resolve(layer));
    Files.writeString(layerFolder.resolve("layer.json"), json.toString());
    Files.copy(path, layerFolder.resolve("model.safetensors"));
    return LayerRepository.open(folder);
  }

  int experts() {
    return config.get("num_experts").getAsInt();
  }

  int hiddenSize() {
    return config.get("hidden_size").getAsInt();
  }

  int tokens() {
    return config.get("num_tokens").getAsInt();
  }

  boolean training() {
    return config.get("training").getAsBoolean();
  }

  UsedTokens usedTokens() {
    if (!file.tensors().containsKey("used_token")) {
      return UsedTokens.ALL;
    }
    long[] recorded = longs("used_token");
    boolean[] used = new boolean[recorded.length];
    for (int t = 0; t < used.length; t++) {
      used[t] = recorded[t] != 0;
    }
    return UsedTokens.of(used);
  }

  NoiseSource noise() {
    return new RecordedNoise(
        draws("draw.jitter"),
        draws("draw.gumbel"),
        draws("draw.rts_uniform"),
        hiddenSize(),
        experts());
  }

  private float[] draws(String tensor) {
    return file.tensors().containsKey(tensor) ? floats(tensor) : new float[0];
  }

  float[] floats(String tensor) {
    return file.tensor(tensor).data().toArray(JAVA_FLOAT_UNALIGNED);
  }

  int[] ints(String tensor) {
    return file.tensor(tensor).data().toArray(JAVA_INT_UNALIGNED);
  }

  long[] longs(String tensor) {
    return file.tensor(tensor).data().toArray(JAVA_LONG_UNALIGNED);
  }

  @Override
  public void close() {
    file.close();
  }
}
