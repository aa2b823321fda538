package dev.guildhall.router.gate;

import dev.guildhall.repository.LayerConfig;
import dev.guildhall.repository.NoisyGatePolicy;
import dev.guildhall.repository.Scoring;

/** Chooses the k experts of one token, best first; among equals the lower index. */
interface ExpertPicker {

  /**
   * Picks for one token.
   *
   * @param logits [tokens, E] of the request
   * @param gates [E] scores of this token; read only
   * @param picked [k] receives the experts
   */
  void pick(int token, float[] logits, double[] gates, NoiseSource noise, int[] picked);

  /** The picker that a layer's configuration asks for. */
  static ExpertPicker of(LayerConfig config, float[] correctionBias, boolean training) {
    Scoring scoring = config.scoring();
    if (correctionBias.length > 0 || scoring.groups().isPresent()) {
      return new AdjustedPicker(correctionBias, scoring.groups());
    }
    if (scoring.function() != Scoring.ScoreFunction.SOFTMAX) {
      return ExpertPicker::best;
    }
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

  /** DeepSpeed's topkgating: the k largest, by insertion since k is small. */
  private static void best(
      int token, float[] logits, double[] gates, NoiseSource noise, int[] picked) {
    largest(gates, picked);
  }

  /** The indices of the {@code picked.length} largest values, largest first. */
  static void largest(double[] values, int[] picked) {
    int filled = 0;
    for (int i = 0; i < values.length; i++) {
      if (filled == picked.length && !(values[i] > values[picked[filled - 1]])) {
        continue;
      }
      int place = filled < picked.length ? filled++ : filled - 1;
      for (; place > 0 && values[i] > values[picked[place - 1]]; place--) {
        picked[place] = picked[place - 1];
      }
      picked[place] = i;
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
