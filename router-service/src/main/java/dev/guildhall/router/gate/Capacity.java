package dev.guildhall.router.gate;

import dev.guildhall.repository.LayerConfig;
import java.util.Arrays;

/**
 * How many routes an expert takes in one request (DeepSpeed's {@code _capacity}): {@code
 * max(ceil(tokens / E * factor), min_capacity)}, or as many as the busiest expert has when nothing
 * is dropped.
 */
record Capacity(float factor, int experts, int minCapacity, boolean dropTokens) {

  static Capacity of(LayerConfig config, boolean training) {
    double factor = training ? config.capacityFactor() : config.evalCapacityFactor();
    return new Capacity(
        (float) (factor * config.k()),
        config.numExperts(),
        config.minCapacity(),
        config.dropTokens());
  }

  /**
   * The capacity for a request.
   *
   * @param expCounts [E] routes chosen
   */
  int of(int tokens, long[] expCounts) {
    if (!dropTokens) {
      return Math.toIntExact(Arrays.stream(expCounts).max().orElse(0));
    }
    // fp32 as PyTorch computes it: in fp64 the ceiling would differ where the product is near a
    // whole number.
    float tokensPerExpert = (float) (tokens / (double) experts);
    return Math.max((int) Math.ceil(tokensPerExpert * factor), minCapacity);
  }
}
