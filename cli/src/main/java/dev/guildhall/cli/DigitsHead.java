package dev.guildhall.cli;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT_UNALIGNED;

import dev.guildhall.safetensors.SafetensorsFile;

/**
 * What follows the MoE layer in the digits model: {@code argmax(head(moe(h) + h))}.
 *
 * @param weight [classes, H]
 * @param bias [classes]
 */
record DigitsHead(float[] weight, float[] bias) {

  static DigitsHead of(SafetensorsFile model) {
    return new DigitsHead(
        model.tensor("head.weight").data().toArray(JAVA_FLOAT_UNALIGNED),
        model.tensor("head.bias").data().toArray(JAVA_FLOAT_UNALIGNED));
  }

  /**
   * Counts right answers.
   *
   * @param hiddenStates [pictures, H]
   * @param moeOutput [pictures, H]
   * @param labels [pictures]
   */
  int correct(float[] hiddenStates, float[] moeOutput, long[] labels) {
    int hiddenSize = weight.length / bias.length;
    int correct = 0;
    for (int picture = 0; picture < labels.length; picture++) {
      if (digit(hiddenStates, moeOutput, picture * hiddenSize, hiddenSize) == labels[picture]) {
        correct++;
      }
    }
    return correct;
  }

  private int digit(float[] hiddenStates, float[] moeOutput, int offset, int hiddenSize) {
    int best = 0;
    double highest = Double.NEGATIVE_INFINITY;
    for (int digit = 0; digit < bias.length; digit++) {
      double logit = bias[digit];
      for (int i = 0; i < hiddenSize; i++) {
        logit +=
            ((double) hiddenStates[offset + i] + moeOutput[offset + i])
                * weight[digit * hiddenSize + i];
      }
      if (logit > highest) {
        highest = logit;
        best = digit;
      }
    }
    return best;
  }
}
