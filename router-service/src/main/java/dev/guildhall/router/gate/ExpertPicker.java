package dev.guildhall.router.gate;

import dev.guildhall.repository.LayerConfig;
import dev.guildhall.repository.NoisyGatePolicy;

/** Chooses the k experts of one token, best first; among equals the lower index. */
interface ExpertPicker {

  /**
   * Picks for one token.
   *
   * @param logits [tokens, E] of the request
   * @param gates [E] softmax of this token's logits
   * @param picked [k] receives the experts
   */
  void pick(int token, float[] logits, double[] gates, NoiseSource noise, int[] picked);

  /** The picker that a layer's configuration asks for. */
  static ExpertPicker of(LayerConfig config, boolean training) {
    return switch (config.k()) {
      case 1 ->
          training && config.noisyGatePolicy() == NoisyGatePolicy.RSAMPLE
              ? ExpertPicker::sampledFirst
              : ExpertPicker::first;
      case 2 ->
          config.top2SecondExpertSampling()
              ? ExpertPicker::firstAndSampledSecond
              : ExpertPicker::firstAndSecond;
      default -> ExpertPicker::best;
    };
  }

  /** DeepSpeed's top1gating: argmax of the softmax. */
  private static void first(
      int token, float[] logits, double[] gates, NoiseSource noise, int[] picked) {
    picked[0] = largest(gates);
  }

  /** DeepSpeed's top1gating with RSample: argmax of logits plus Gumbel noise. */
  private static void sampledFirst(
      int token, float[] logits, double[] gates, NoiseSource noise, int[] picked) {
    picked[0] = largestSampled(token, logits, gates.length, noise, Routing.NO_EXPERT);
  }

  /** DeepSpeed's top2gating: the second is the argmax of the logits without the first. */
  private static void firstAndSecond(
      int token, float[] logits, double[] gates, NoiseSource noise, int[] picked) {
    int first = largest(gates);
    int offset = token * gates.length;
    int second = first == 0 ? 1 : 0;
    for (int e = second + 1; e < gates.length; e++) {
      if (e != first && logits[offset + e] > logits[offset + second]) {
        second = e;
      }
    }
    picked[0] = first;
    picked[1] = second;
  }

  /** DeepSpeed's top2gating with top2_2nd_expert_sampling, in eval mode too. */
  private static void firstAndSampledSecond(
      int token, float[] logits, double[] gates, NoiseSource noise, int[] picked) {
    picked[0] = largest(gates);
    picked[1] = largestSampled(token, logits, gates.length, noise, picked[0]);
  }

  /** DeepSpeed's topkgating: the k largest of the softmax, by insertion since k is small. */
  private static void best(
      int token, float[] logits, double[] gates, NoiseSource noise, int[] picked) {
    int filled = 0;
    for (int e = 0; e < gates.length; e++) {
      if (filled == picked.length && !(gates[e] > gates[picked[filled - 1]])) {
        continue;
      }
      int place = filled < picked.length ? filled++ : filled - 1;
      for (; place > 0 && gates[e] > gates[picked[place - 1]]; place--) {
        picked[place] = picked[place - 1];
      }
      picked[place] = e;
    }
  }

  private static int largest(double[] values) {
    int best = 0;
    double bestValue = values[0];
    for (int i = 1; i < values.length; i++) {
      if (values[i] > bestValue) {
        bestValue = values[i];
        best = i;
      }
    }
    return best;
  }

  private static int largestSampled(
      int token, float[] logits, int experts, NoiseSource noise, int without) {
    int offset = token * experts;
    int best = without == 0 ? 1 : 0;
    float bestValue = Float.NEGATIVE_INFINITY;
    for (int e = best; e < experts; e++) {
      float logit = logits[offset + e];
      float value = logit + noise.gumbelIfAbove(bestValue - logit, token, e);
      if (value > bestValue && e != without) {
        bestValue = value;
        best = e;
      }
    }
    return best;
  }
}
