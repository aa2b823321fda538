package dev.guildhall.router.combine;

import java.util.Arrays;

/**
 * What the sum of the routed experts and the dense expert are multiplied with before they are
 * added.
 *
 * @param experts [tokens]
 * @param dense [tokens]
 */
public record DenseMix(float[] experts, float[] dense) {

  /**
   * Of a residual MLP: softmax of the coefficient's logits (the end of DeepSpeed's {@code
   * MoE.forward}).
   *
   * @param logits [tokens, 2] row-major
   */
  public static DenseMix residual(float[] logits) {
    int tokens = logits.length / 2;
    DenseMix mix = new DenseMix(new float[tokens], new float[tokens]);
    for (int t = 0; t < tokens; t++) {
      // A softmax of two is a sigmoid of the difference; of each sign, so that neither cancels.
      double difference = (double) logits[2 * t + 1] - logits[2 * t];
      mix.experts[t] = sigmoid(-difference);
      mix.dense[t] = sigmoid(difference);
    }
    return mix;
  }

  /** Of a shared expert without a gate: both as they are. */
  public static DenseMix sum(int tokens) {
    return new DenseMix(ones(tokens), ones(tokens));
  }

  /**
   * Of a shared expert behind a sigmoid gate.
   *
   * @param logits [tokens]
   */
  public static DenseMix gated(float[] logits) {
    DenseMix mix = sum(logits.length);
    for (int t = 0; t < logits.length; t++) {
      mix.dense[t] = sigmoid(logits[t]);
    }
    return mix;
  }

  private static float[] ones(int tokens) {
    float[] ones = new float[tokens];
    Arrays.fill(ones, 1);
    return ones;
  }

  private static float sigmoid(double x) {
    return (float) (1 / (1 + Math.exp(-x)));
  }

  int tokens() {
    return experts.length;
  }
}
