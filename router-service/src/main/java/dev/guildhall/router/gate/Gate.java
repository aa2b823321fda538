package dev.guildhall.router.gate;

import dev.guildhall.repository.LayerConfig;
import dev.guildhall.repository.Scoring;
import java.util.Arrays;

/**
 * The gate of a layer after its projection: logits to scores, scores to choices, choices to routes
 * with weights, by the rules of DeepSpeed's top1gating, top2gating and topkgating
 * (deepspeed/moe/sharded_moe.py), with what {@link Scoring} changes of them. A pure function of its
 * arguments; immutable, so that any thread may call it.
 *
 * <p>It differs from DeepSpeed where that depends on chance or on an assertion: used_token counts
 * for every k, fewer tokens than min_capacity are fine, equal values go to the lower index.
 */
public final class Gate {
  /** PyTorch's torch.finfo(float32).eps, below which DeepSpeed does not divide. */
  private static final float EPSILON = 0x1p-23f;

  /** What transformers adds to a sum of sigmoids, which may all be tiny. */
  private static final float SIGMOID_EPSILON = 1e-20f;

  private final int experts;
  private final int k;
  private final Scoring scoring;
  private final SlotRule slotRule;
  private final Mode training;
  private final Mode eval;

  /**
   * @param correctionBias [E] added to the scores when experts are chosen; [0] for none
   */
  public Gate(LayerConfig config, float[] correctionBias) {
    experts = config.numExperts();
    k = config.k();
    scoring = config.scoring();
    slotRule = SlotRule.of(config);
    training = Mode.of(config, correctionBias, true);
    eval = Mode.of(config, correctionBias, false);
  }

  /** What training mode changes. */
  private record Mode(ExpertPicker picker, Capacity capacity) {
    static Mode of(LayerConfig config, float[] correctionBias, boolean training) {
      return new Mode(
          ExpertPicker.of(config, correctionBias, training), Capacity.of(config, training));
    }
  }

  /**
   * Decides the routes of one request.
   *
   * @param logits [tokens, E] row-major fp32
   * @param noise asked only for the draws that matter
   */
  public Routing route(
      float[] logits, int tokens, boolean training, UsedTokens usedTokens, NoiseSource noise) {
    if (logits.length != tokens * experts) {
      throw new IllegalArgumentException(
          "logits has %d elements; allowed is tokens %d x experts %d"
              .formatted(logits.length, tokens, experts));
    }
    usedTokens.checkTokens(tokens);
    Mode mode = training ? this.training : eval;
    GateSums sums = new GateSums(scoring.function(), experts);
    Choices choices = choose(mode.picker(), sums, logits, tokens, usedTokens, noise);
    long[] expCounts = choices.countPerExpert(k);
    float lAux = loss(sums, choices, expCounts);
    int capacity = mode.capacity().of(tokens, expCounts);
    int[] slot = slotRule.assign(choices, expCounts, capacity, noise);
    float[] weight = weights(choices);
    return new Routing(
        tokens,
        experts,
        k,
        choices.expert(),
        slot,
        weight,
        capacity,
        lAux,
        expCounts,
        dropped(expCounts, capacity));
  }

  private Choices choose(
      ExpertPicker picker,
      GateSums sums,
      float[] logits,
      int tokens,
      UsedTokens usedTokens,
      NoiseSource noise) {
    Choices choices = Choices.none(tokens, experts, k);
    int[] picked = new int[k];
    for (int t = 0; t < tokens; t++) {
      // Unused tokens count in the mean of the gates, as in DeepSpeed.
      double[] gates = sums.next(logits, t);
      if (!usedTokens.uses(t)) {
        continue;
      }
      picker.pick(t, logits, gates, noise, picked);
      for (int j = 0; j < k; j++) {
        choices.expert()[j * tokens + t] = picked[j];
        choices.gate()[j * tokens + t] = (float) gates[picked[j]];
      }
    }
    return choices;
  }

  /** Over first choices for k of 1 and 2, over all of them beyond. */
  private float loss(GateSums sums, Choices choices, long[] expCounts) {
    return k == 2
        ? sums.loadBalancingLoss(choices.countPerExpert(1), 1, choices.tokens())
        : sums.loadBalancingLoss(expCounts, k, choices.tokens());
  }

  /** Makes the gate values combine weights, in place. */
  private float[] weights(Choices choices) {
    float[] weight = choices.gate();
    int tokens = choices.tokens();
    for (int i = 0; i < weight.length; i++) {
      if (choices.expert()[i] == Routing.NO_EXPERT) {
        weight[i] = 0;
      }
    }
    if (scoring.normTopK()) {
      normalise(weight, tokens);
    } else if (scoring.scale() != 1) {
      for (int i = 0; i < weight.length; i++) {
        weight[i] *= (float) scoring.scale();
      }
    }
    return weight;
  }

  /**
   * A decision without some of its routes, which count as dropped: where weights are normalised,
   * those of a token's other routes are normalised again.
   *
   * @param lost [k, tokens] row-major; routes that are not there may be marked too
   */
  public Routing without(Routing routing, boolean[] lost) {
    int[] expert = routing.expert().clone();
    int[] slot = routing.slot().clone();
    float[] weight = routing.weight().clone();
    int dropped = routing.droppedRoutes();
    for (int i = 0; i < expert.length; i++) {
      if (lost[i] && expert[i] != Routing.NO_EXPERT) {
        expert[i] = Routing.NO_EXPERT;
        slot[i] = 0;
        weight[i] = 0;
        dropped++;
      }
    }
    if (scoring.normTopK()) {
      normalise(weight, routing.tokens());
    }
    return new Routing(
        routing.tokens(),
        experts,
        k,
        expert,
        slot,
        weight,
        routing.capacity(),
        routing.lAux(),
        routing.expCounts(),
        dropped);
  }

  /** So that the weights of a token's routes, those that were kept, sum up to the scale. */
  private void normalise(float[] weight, int tokens) {
    float scale = (float) scoring.scale();
    float least = scoring.function() == Scoring.ScoreFunction.SIGMOID ? SIGMOID_EPSILON : EPSILON;
    for (int t = 0; t < tokens; t++) {
      float sum = 0;
      for (int i = t; i < weight.length; i += tokens) {
        sum += weight[i];
      }
      float divisor = Math.max(sum, least);
      for (int i = t; i < weight.length; i += tokens) {
        weight[i] = weight[i] / divisor * scale;
      }
    }
  }

  private static int dropped(long[] expCounts, int capacity) {
    return Math.toIntExact(
        Arrays.stream(expCounts).map(count -> Math.max(0, count - capacity)).sum());
  }
}
