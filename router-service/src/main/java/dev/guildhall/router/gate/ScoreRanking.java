package dev.guildhall.router.gate;

import java.util.Arrays;

/**
 * Finds the routes of full experts that must go, by a score. Experts within capacity are neither
 * scored nor sorted. Confined to one call.
 */
final class ScoreRanking {
  private final Choices choices;
  private final long[] expCounts;
  private final int capacity;

  /** A ranking of {@code choices}, of which expert e has {@code expCounts[e]}. */
  ScoreRanking(Choices choices, long[] expCounts, int capacity) {
    this.choices = choices;
    this.expCounts = expCounts;
    this.capacity = capacity;
  }

  /** What decides which routes of a full expert stay. */
  @FunctionalInterface
  interface Score {
    float of(int choice, int token, int expert);
  }

  /** Leaves every expert the {@code capacity} routes of the highest score; equals by token. */
  void dropLowest(Score score) {
    int[] next = new int[choices.experts()];
    int contested = 0;
    for (int e = 0; e < next.length; e++) {
      next[e] = contested;
      contested += isFull(e) ? (int) expCounts[e] : 0;
    }
    if (contested == 0) {
      return;
    }
    long[] ranks = ranks(score, next, new long[contested]);
    int start = 0;
    for (int e = 0; e < next.length; e++) {
      if (isFull(e)) {
        Arrays.sort(ranks, start, next[e]);
        drop(ranks, start + capacity, next[e]);
        start = next[e];
      }
    }
  }

  private boolean isFull(int expert) {
    return expCounts[expert] > capacity;
  }

  /** Fills {@code ranks} grouped by expert and leaves the groups' ends in {@code next}. */
  private long[] ranks(Score score, int[] next, long[] ranks) {
    for (int t = 0; t < choices.tokens(); t++) {
      for (int j = 0; j < choices.k(); j++) {
        int choice = j * choices.tokens() + t;
        int e = choices.expert()[choice];
        if (e != Routing.NO_EXPERT && isFull(e)) {
          ranks[next[e]++] = rank(score.of(choice, t, e), t * choices.k() + j);
        }
      }
    }
    return ranks;
  }

  /** A key that sorts by falling score, then by rising place (token order). */
  private static long rank(float score, int place) {
    int bits = Float.floatToIntBits(score);
    int ascending = bits ^ ((bits >> 31) & Integer.MAX_VALUE);
    return ((long) ~ascending << 32) | place;
  }

  private void drop(long[] ranks, int from, int to) {
    for (int i = from; i < to; i++) {
      int place = (int) ranks[i];
      choices.drop(place % choices.k() * choices.tokens() + place / choices.k());
    }
  }
}
