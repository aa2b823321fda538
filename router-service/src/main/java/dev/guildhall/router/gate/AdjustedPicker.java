package dev.guildhall.router.gate;

import dev.guildhall.repository.Scoring;
import java.util.Arrays;
import java.util.Optional;

/**
 * Chooses by scores that a correction bias was added to, among the experts of the best groups
 * (DeepSeek-V3's noaux_tc, DeepSeek-V2's group_limited_greedy). The weights stay those of the
 * scores. Experts of other groups are never chosen, as in DeepSeek's own code; transformers' V3
 * takes them for 0, which is the same unless a bias makes scores of the best groups negative.
 *
 * @param correctionBias [E]; [0] for none
 */
record AdjustedPicker(float[] correctionBias, Optional<Scoring.Groups> groups)
    implements ExpertPicker {

  @Override
  public void pick(int token, float[] logits, double[] gates, NoiseSource noise, int[] picked) {
    double[] adjusted = gates.clone();
    for (int e = 0; e < correctionBias.length; e++) {
      adjusted[e] += correctionBias[e];
    }
    groups.ifPresent(limit -> withoutOtherGroups(limit, adjusted));
    ExpertPicker.largest(adjusted, picked);
  }

  private static void withoutOtherGroups(Scoring.Groups groups, double[] scores) {
    int each = scores.length / groups.count();
    double[] groupScores = new double[groups.count()];
    for (int g = 0; g < groupScores.length; g++) {
      groupScores[g] = score(groups.score(), Arrays.copyOfRange(scores, g * each, (g + 1) * each));
    }
    int[] used = new int[groups.used()];
    ExpertPicker.largest(groupScores, used);
    Arrays.sort(used);
    for (int g = 0; g < groupScores.length; g++) {
      if (Arrays.binarySearch(used, g) < 0) {
        Arrays.fill(scores, g * each, (g + 1) * each, Double.NEGATIVE_INFINITY);
      }
    }
  }

  private static double score(Scoring.GroupScore score, double[] group) {
    Arrays.sort(group);
    double best = group[group.length - 1];
    return switch (score) {
      case MAX -> best;
      case TOP2_SUM -> best + group[group.length - 2];
    };
  }
}
