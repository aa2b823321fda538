package dev.guildhall.checkpoint.deepspeed;

import java.util.ArrayList;
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
    List<String> taken = new ArrayList<>();
    take(taken, capacityFactor, "--capacity-factor 1.0");
    take(taken, evalCapacityFactor, "--eval-capacity-factor 1.0");
    take(taken, minCapacity, "--min-capacity 4");
    take(taken, noisyGatePolicy, "--noisy-gate-policy None");
    take(taken, dropTokens, "--drop-tokens true");
    take(taken, useRts, "--use-rts true");
    if (k.equals(Optional.of(2))) {
      take(taken, top2SecondExpertSampling, "--top2-2nd-expert-sampling true");
    }
    take(taken, activation, "--activation " + USUAL_ACTIVATION);
    return taken.isEmpty()
        ? List.of()
        : List.of(
            "the checkpoint does not tell these, which are taken to be as they usually are: "
                + String.join(", ", taken));
  }

  private static void take(List<String> taken, Optional<?> argument, String usual) {
    if (argument.isEmpty()) {
      taken.add(usual);
    }
  }
}
