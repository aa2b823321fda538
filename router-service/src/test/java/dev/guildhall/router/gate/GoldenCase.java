package dev.guildhall.router.gate;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import dev.guildhall.repository.LayerConfig;
import dev.guildhall.repository.NoisyGatePolicy;

/** One recorded run of DeepSpeed's layer: its configuration, its draws and what came out. */
record GoldenCase(SafetensorsFile file, JsonObject config) {

  static GoldenCase named(String name) {
    SafetensorsFile file = SafetensorsFile.resource("/golden/" + name + ".safetensors");
    return new GoldenCase(file, JsonParser.parseString(file.metadata("config")).getAsJsonObject());
  }

  LayerConfig layer() {
    return Layers.with(config.get("num_experts").getAsInt(), config.get("k").getAsInt())
        .hiddenSize(config.get("hidden_size").getAsInt())
        .capacityFactor(config.get("capacity_factor").getAsDouble())
        .evalCapacityFactor(config.get("eval_capacity_factor").getAsDouble())
        .minCapacity(config.get("min_capacity").getAsInt())
        .useResidual(config.get("use_residual").getAsBoolean())
        .noisyGatePolicy(policy(config.get("noisy_gate_policy")))
        .dropTokens(config.get("drop_tokens").getAsBoolean())
        .useRts(config.get("use_rts").getAsBoolean())
        .top2SecondExpertSampling(config.get("top2_2nd_expert_sampling").getAsBoolean())
        .build();
  }

  private static NoisyGatePolicy policy(JsonElement name) {
    return switch (name.isJsonNull() ? "None" : name.getAsString()) {
      case "Jitter" -> NoisyGatePolicy.JITTER;
      case "RSample" -> NoisyGatePolicy.RSAMPLE;
      default -> NoisyGatePolicy.NONE;
    };
  }

  boolean training() {
    return config.get("training").getAsBoolean();
  }

  int tokens() {
    return config.get("num_tokens").getAsInt();
  }

  UsedTokens usedTokens() {
    if (!file.has("used_token")) {
      return UsedTokens.ALL;
    }
    long[] recorded = file.longs("used_token");
    boolean[] used = new boolean[recorded.length];
    for (int t = 0; t < used.length; t++) {
      used[t] = recorded[t] != 0;
    }
    return UsedTokens.of(used);
  }

  NoiseSource noise() {
    int experts = config.get("num_experts").getAsInt();
    return new RecordedNoise(
        draws("draw.jitter"),
        config.get("hidden_size").getAsInt(),
        draws("draw.gumbel"),
        draws("draw.rts_uniform"),
        experts);
  }

  private float[] draws(String tensor) {
    return file.has(tensor) ? file.floats(tensor) : new float[0];
  }

  /** [tokens, E] of the given input, summed in fp64. */
  float[] logits(float[] input) {
    int hiddenSize = config.get("hidden_size").getAsInt();
    int experts = config.get("num_experts").getAsInt();
    float[] weight = file.floats("gate.wg.weight");
    float[] logits = new float[tokens() * experts];
    for (int i = 0; i < logits.length; i++) {
      double sum = 0;
      for (int d = 0; d < hiddenSize; d++) {
        sum += (double) input[i / experts * hiddenSize + d] * weight[i % experts * hiddenSize + d];
      }
      logits[i] = (float) sum;
    }
    return logits;
  }
}
