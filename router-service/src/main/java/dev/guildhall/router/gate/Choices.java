package dev.guildhall.router.gate;

import java.util.Arrays;

/**
 * The experts that the tokens of one request chose, while capacity is being applied. Confined to
 * the call of {@link Gate#route} that made it.
 *
 * @param expert [k, tokens] row-major, {@link Routing#NO_EXPERT} where there is none (any more)
 * @param gate [k, tokens] softmax value of the chosen expert
 */
record Choices(int tokens, int experts, int k, int[] expert, float[] gate) {

  static Choices none(int tokens, int experts, int k) {
    int[] expert = new int[k * tokens];
    Arrays.fill(expert, Routing.NO_EXPERT);
    return new Choices(tokens, experts, k, expert, new float[k * tokens]);
  }

  /** [E] how many of the first {@code choices} choices of the tokens fell on each expert. */
  long[] countPerExpert(int choices) {
    long[] counts = new long[experts];
    for (int i = 0; i < choices * tokens; i++) {
      if (expert[i] != Routing.NO_EXPERT) {
        counts[expert[i]]++;
      }
    }
    return counts;
  }

  void drop(int choice) {
    expert[choice] = Routing.NO_EXPERT;
  }
}
