package dev.guildhall.router.gate;

import static dev.guildhall.router.gate.Routing.NO_EXPERT;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.guildhall.repository.Scoring;
import dev.guildhall.repository.Scoring.GroupScore;
import dev.guildhall.repository.Scoring.Groups;
import dev.guildhall.repository.Scoring.ScoreFunction;
import java.util.Optional;
import org.junit.jupiter.api.Test;

/**
 * What published models change of DeepSpeed's gate, each on a case small enough to check by hand.
 */
class ScoringTest {
  private static final double TOLERANCE = 1e-6;

  private static Scoring scoring(ScoreFunction function, boolean normTopK, double scale) {
    return new Scoring(function, normTopK, scale, Optional.empty());
  }

  private static Layers layer(int experts, int k, Scoring scoring) {
    return Layers.with(experts, k).dropTokens(false).scoring(scoring);
  }

  private static Routing route(Layers layer, float... logits) {
    return layer.gate().route(logits, 1, false, UsedTokens.ALL, RecordedNoise.none());
  }

  private static double sigmoid(double x) {
    return 1 / (1 + Math.exp(-x));
  }

  @Test
  void weightsAreTheScoresWhereTheyAreNotNormalised() {
    Routing routing = route(layer(4, 2, scoring(ScoreFunction.SIGMOID, false, 1)), -1, 2, 0.5f, -3);
    assertArrayEquals(new int[] {1, 2}, routing.expert());
    assertEquals(sigmoid(2), routing.weight()[0], TOLERANCE);
    assertEquals(sigmoid(0.5), routing.weight()[1], TOLERANCE);
  }

  @Test
  void theScaleIsAppliedAfterNormalising() {
    Routing routing =
        route(layer(4, 2, scoring(ScoreFunction.SIGMOID, true, 2.5)), -1, 2, 0.5f, -3);
    double sum = sigmoid(2) + sigmoid(0.5);
    assertEquals(2.5 * sigmoid(2) / sum, routing.weight()[0], TOLERANCE);
    assertEquals(2.5 * sigmoid(0.5) / sum, routing.weight()[1], TOLERANCE);
  }

  @Test
  void tinySigmoidsAreNormalisedToo() {
    Routing routing =
        route(layer(4, 2, scoring(ScoreFunction.SIGMOID, true, 1)), -40, -20, -21, -40);
    double sum = sigmoid(-20) + sigmoid(-21);
    assertEquals(sigmoid(-20) / sum, routing.weight()[0], TOLERANCE);
    assertEquals(sigmoid(-21) / sum, routing.weight()[1], TOLERANCE);
  }

  @Test
  void theScaleIsAppliedWithoutNormalisingToo() {
    Routing routing = route(layer(2, 1, scoring(ScoreFunction.SOFTMAX, false, 16)), 1, 0);
    assertEquals(16 * sigmoid(1), routing.weight()[0], 1e-5);
  }

  @Test
  void normalisedSoftmaxIsTheSoftmaxOverTheChosen() {
    Routing routing = route(layer(4, 3, scoring(ScoreFunction.SOFTMAX, true, 1)), 1, 3, 2, -5);
    double sum = Math.exp(1) + Math.exp(3) + Math.exp(2);
    assertEquals(Math.exp(3) / sum, routing.weight()[0], TOLERANCE);
    assertEquals(Math.exp(2) / sum, routing.weight()[1], TOLERANCE);
    assertEquals(Math.exp(1) / sum, routing.weight()[2], TOLERANCE);
  }

  @Test
  void theCorrectionBiasChoosesButDoesNotWeigh() {
    Routing routing =
        route(
            layer(3, 1, scoring(ScoreFunction.SIGMOID, false, 1)).correctionBias(0, 0, 1), 2, 1, 0);
    assertArrayEquals(new int[] {2}, routing.expert());
    assertEquals(0.5, routing.weight()[0], TOLERANCE);
  }

  @Test
  void expertsOfOtherGroupsAreNotChosen() {
    Groups best = new Groups(3, 1, GroupScore.MAX);
    Scoring scoring = new Scoring(ScoreFunction.SOFTMAX, false, 1, Optional.of(best));
    Routing routing = route(layer(6, 2, scoring), 3, 0, 2, 2.5f, 1, 1);
    assertArrayEquals(new int[] {0, 1}, routing.expert());
  }

  @Test
  void aGroupMayBeJudgedByItsTwoBest() {
    Groups twoBest = new Groups(3, 1, GroupScore.TOP2_SUM);
    Scoring scoring = new Scoring(ScoreFunction.SIGMOID, false, 1, Optional.of(twoBest));
    Routing routing = route(layer(6, 2, scoring), 3, -9, 2, 2.5f, 1, 1);
    assertArrayEquals(new int[] {3, 2}, routing.expert());
  }

  /** Where transformers takes other groups' experts for 0, which is more than these have. */
  @Test
  void expertsOfOtherGroupsAreNotChosenForWantOfPositiveScores() {
    Groups best = new Groups(3, 1, GroupScore.MAX);
    Scoring scoring = new Scoring(ScoreFunction.SIGMOID, false, 1, Optional.of(best));
    Routing routing =
        route(layer(6, 2, scoring).correctionBias(-1, -2, -3, -3, -3, -3), 0, 0, 0, 0, 0, 0);
    assertArrayEquals(new int[] {0, 1}, routing.expert());
  }

  @Test
  void lostRoutesLeaveTheOthersScaled() {
    Gate gate = layer(4, 2, scoring(ScoreFunction.SIGMOID, true, 2.5)).gate();
    Routing routing =
        gate.route(new float[] {-1, 2, 0.5f, -3}, 1, false, UsedTokens.ALL, RecordedNoise.none());
    Routing left = gate.without(routing, new boolean[] {true, false});
    assertArrayEquals(new int[] {NO_EXPERT, 2}, left.expert());
    assertEquals(2.5, left.weight()[1], TOLERANCE);
  }

  @Test
  void theLossOfSigmoidsIsThatOfTheirShares() {
    float[] logits = {2, 0, 3, 1, -1, 1};
    Routing routing =
        Layers.with(2, 1)
            .dropTokens(false)
            .scoring(scoring(ScoreFunction.SIGMOID, false, 1))
            .gate()
            .route(logits, 3, false, UsedTokens.ALL, RecordedNoise.none());
    double mean = 0;
    for (int token = 0; token < 3; token++) {
      double first = sigmoid(logits[2 * token]);
      mean += first / (first + sigmoid(logits[2 * token + 1])) / 3;
    }
    assertArrayEquals(new long[] {2, 1}, routing.expCounts());
    assertEquals(2 * (mean * 2 / 3 + (1 - mean) / 3), routing.lAux(), TOLERANCE);
  }
}
