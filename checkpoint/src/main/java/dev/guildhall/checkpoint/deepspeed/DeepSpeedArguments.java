package dev.guildhall.checkpoint.deepspeed;

import java.util.List;
import java.util.Optional;

/**
 * What a DeepSpeed checkpoint does not hold of its MoE layers: arguments of the constructor of
 * {@code deepspeed.moe.layer.MoE}, and the experts' activation. What is absent has DeepSpeed's
 * default.
 */
public record DeepSpeedArguments(
    Optional<Integer> k,
    Optional<Double> capacityFactor,
    Optional<Double> evalCapacityFactor,
    Optional<Integer> minCapacity,
    Optional<String> noisyGatePolicy,
    Optional<Boolean> dropTokens,
    Optional<Boolean> useRts,
    Optional<Boolean> top2SecondExpertSampling,
    Optional<String> activation) {
  static final String USUAL_ACTIVATION = "relu";

  public boolean isEmpty() {
    return k.isEmpty()
        && capacityFactor.isEmpty()
        && evalCapacityFactor.isEmpty()
        && minCapacity.isEmpty()
        && noisyGatePolicy.isEmpty()
        && dropTokens.isEmpty()
        && useRts.isEmpty()
        && top2SecondExpertSampling.isEmpty()
        && activation.isEmpty();
  }

  /** What was taken for granted that changes the outputs. */
  List<String> notes() {
    return activation.isPresent()
        ? List.of()
        : List.of(
            "the experts' activation is taken to be %s, as the checkpoint does not tell; --activation sets it"
                .formatted(USUAL_ACTIVATION));
  }
}
