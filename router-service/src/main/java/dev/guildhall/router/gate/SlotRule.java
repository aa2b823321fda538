package dev.guildhall.router.gate;

import dev.guildhall.repository.LayerConfig;

/** Drops the routes beyond an expert's capacity and numbers those that stay. */
@FunctionalInterface
interface SlotRule {

  /**
   * Drops from {@code choices} and numbers the rest.
   *
   * @param expCounts [E] routes chosen
   * @return [k, tokens] slots; 0 where there is no route
   */
  int[] assign(Choices choices, long[] expCounts, int capacity, NoiseSource noise);

  /** The rule that a layer's configuration asks for. */
  static SlotRule of(LayerConfig config) {
    return switch (config.k()) {
      case 1 -> config.useRts() ? SlotRule::largestDraws : SlotRule::firstCome;
      case 2 -> SlotRule::firstCome;
      default -> SlotRule::largestGates;
    };
  }

  /**
   * An expert keeps the first ones: first choices in token order, then second choices (DeepSpeed's
   * top2gating, and top1gating without use_rts).
   */
  private static int[] firstCome(
      Choices choices, long[] expCounts, int capacity, NoiseSource noise) {
    int[] expert = choices.expert();
    int[] slot = new int[expert.length];
    int[] next = new int[choices.experts()];
    for (int i = 0; i < expert.length; i++) {
      if (expert[i] == Routing.NO_EXPERT) {
        continue;
      }
      int place = next[expert[i]]++;
      if (place < capacity) {
        slot[i] = place;
      } else {
        choices.drop(i);
      }
    }
    return slot;
  }

  /** Random token selection (DeepSpeed's top1gating with use_rts): the largest draws stay. */
  private static int[] largestDraws(
      Choices choices, long[] expCounts, int capacity, NoiseSource noise) {
    new ScoreRanking(choices, expCounts, capacity)
        .dropLowest((choice, token, expert) -> noise.uniform(token, expert));
    return numberInTokenOrder(choices);
  }

  /** DeepSpeed's topkgating (drop_policy "probs"): the largest gate values stay. */
  private static int[] largestGates(
      Choices choices, long[] expCounts, int capacity, NoiseSource noise) {
    new ScoreRanking(choices, expCounts, capacity)
        .dropLowest((choice, token, expert) -> choices.gate()[choice]);
    return numberInTokenOrder(choices);
  }

  private static int[] numberInTokenOrder(Choices choices) {
    int[] slot = new int[choices.expert().length];
    int[] next = new int[choices.experts()];
    for (int t = 0; t < choices.tokens(); t++) {
      for (int i = t; i < slot.length; i += choices.tokens()) {
        int e = choices.expert()[i];
        if (e != Routing.NO_EXPERT) {
          slot[i] = next[e]++;
        }
      }
    }
    return slot;
  }
}
