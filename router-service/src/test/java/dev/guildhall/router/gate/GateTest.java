package dev.guildhall.router.gate;

import static dev.guildhall.router.gate.Routing.NO_EXPERT;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.guildhall.error.ErrorCode;
import dev.guildhall.error.GuildhallException;
import dev.guildhall.repository.NoisyGatePolicy;
import java.util.Arrays;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The gate's rules, each on a case small enough to check by hand. */
class GateTest {
  private static final NoiseSource NO_NOISE = RecordedNoise.none();

  private static Routing route(Gate gate, int tokens, float... logits) {
    return gate.route(logits, tokens, false, UsedTokens.ALL, NO_NOISE);
  }

  @Test
  void dropsRoutesBeyondCapacityInTokenOrder() {
    Routing routing = route(Layers.with(2, 1).gate(), 4, 1, 0, 1, 0, 1, 0, 0, 1);

    assertEquals(2, routing.capacity());
    assertArrayEquals(new int[] {0, 0, NO_EXPERT, 1}, routing.expert());
    assertArrayEquals(new int[] {0, 1, 0, 0}, routing.slot());
    assertEquals(0, routing.weight()[2]);
    assertArrayEquals(new long[] {3, 1}, routing.expCounts());
    assertEquals(1, routing.droppedRoutes());
    assertEquals(3, routing.routes());
  }

  @Test
  void weightOfOneExpertIsItsSoftmaxNotNormalised() {
    Routing routing = route(Layers.with(2, 1).gate(), 1, 1, 0);

    assertEquals(1 / (1 + Math.exp(-1)), routing.weight()[0], 1e-6);
  }

  @Test
  void randomTokenSelectionKeepsTheLargestDrawsAndNumbersThemInTokenOrder() {
    NoiseSource draws = RecordedNoise.uniforms(2, .5f, 0, .1f, 0, .9f, 0, .7f, 0);

    Routing routing =
        Layers.with(2, 1)
            .useRts(true)
            .gate()
            .route(new float[] {1, 0, 1, 0, 1, 0, 1, 0}, 4, false, UsedTokens.ALL, draws);

    assertArrayEquals(new int[] {NO_EXPERT, NO_EXPERT, 0, 0}, routing.expert());
    assertArrayEquals(new int[] {0, 0, 0, 1}, routing.slot());
  }

  @Test
  void randomTokenSelectionDrawsNothingWhenEveryRouteFits() {
    Routing routing = route(Layers.with(2, 1).useRts(true).gate(), 2, 1, 0, 0, 1);

    assertArrayEquals(new int[] {0, 1}, routing.expert());
  }

  @Test
  void equalDrawsGoToTheLowerToken() {
    NoiseSource draws = RecordedNoise.uniforms(2, .5f, 0, .5f, 0);

    Routing routing =
        Layers.with(2, 1)
            .useRts(true)
            .gate()
            .route(new float[] {1, 0, 1, 0}, 2, false, UsedTokens.ALL, draws);

    assertArrayEquals(new int[] {0, NO_EXPERT}, routing.expert());
  }

  @Test
  void numbersFirstChoicesBeforeSecondChoices() {
    Routing routing = route(Layers.with(3, 2).gate(), 2, 2, 1, 0, 1, 2, 0);

    assertEquals(2, routing.capacity());
    assertArrayEquals(new int[] {0, 1, 1, 0}, routing.expert());
    assertArrayEquals(new int[] {0, 0, 1, 1}, routing.slot());
  }

  @Test
  void secondChoicesAreDroppedBeforeFirstOnesAndTheOtherWeightIsNormalised() {
    Routing routing = route(Layers.with(3, 2).evalCapacityFactor(.5).gate(), 2, 2, 1, 0, 1, 2, 0);

    assertEquals(1, routing.capacity());
    assertArrayEquals(new int[] {0, 1, NO_EXPERT, NO_EXPERT}, routing.expert());
    assertArrayEquals(new float[] {1, 1, 0, 0}, routing.weight(), 1e-6f);
    assertArrayEquals(new long[] {2, 2, 0}, routing.expCounts());
    assertEquals(2, routing.droppedRoutes());
  }

  @Test
  void weightsOfTwoExpertsAreNormalised() {
    Routing routing = route(Layers.with(3, 2).minCapacity(4).gate(), 1, 2, 1, 0);

    assertEquals(1 / (1 + Math.exp(-1)), routing.weight()[0], 1e-6);
    assertEquals(1, routing.weight()[0] + routing.weight()[1], 1e-6);
  }

  @Test
  void secondExpertIsSampledInEvalModeToo() {
    NoiseSource draws = RecordedNoise.gumbels(3, 9, 0, 5);

    Routing routing =
        Layers.with(3, 2)
            .top2SecondExpertSampling(true)
            .gate()
            .route(new float[] {2, 1, 0}, 1, false, UsedTokens.ALL, draws);

    assertArrayEquals(new int[] {0, 2}, routing.expert());
  }

  @Test
  void firstExpertIsSampledInTrainingModeOnly() {
    NoiseSource draws = RecordedNoise.gumbels(3, 0, 0, 5);
    Gate gate = Layers.with(3, 1).noisyGatePolicy(NoisyGatePolicy.RSAMPLE).gate();
    float[] logits = {2, 1, 0};

    Routing sampled = gate.route(logits, 1, true, UsedTokens.ALL, draws);

    assertArrayEquals(new int[] {2}, sampled.expert());
    assertEquals(Math.exp(-2) / (1 + Math.exp(-1) + Math.exp(-2)), sampled.weight()[0], 1e-6);
    assertArrayEquals(new int[] {0}, route(gate, 1, logits).expert());
  }

  @Test
  void threeExpertsAreTakenByFallingGate() {
    Routing routing = route(Layers.with(4, 3).gate(), 1, 1, 3, 0, 2);

    assertArrayEquals(new int[] {1, 3, 0}, routing.expert());
    assertEquals(1, routing.weight()[0] + routing.weight()[1] + routing.weight()[2], 1e-6);
  }

  @Test
  void beyondTwoExpertsTheLargestGatesStay() {
    // Both tokens take experts 0 and 2; the second one wants 0 more, the first one wants 2 more.
    Routing routing =
        route(Layers.with(4, 3).evalCapacityFactor(1 / 3.0).gate(), 2, 3, 2, 1, 0, 9, 0, 2, 1);

    assertEquals(1, routing.capacity());
    assertArrayEquals(new int[] {NO_EXPERT, 0, 1, NO_EXPERT, 2, 3}, routing.expert());
    assertArrayEquals(new long[] {2, 1, 2, 1}, routing.expCounts());
  }

  @ParameterizedTest
  @ValueSource(ints = {1, 2, 3})
  void equalLogitsGoToTheLowerExperts(int k) {
    Routing routing = route(Layers.with(4, k).gate(), 1, 1, 1, 1, 1);

    assertArrayEquals(Arrays.copyOf(new int[] {0, 1, 2}, k), routing.expert());
  }

  @ParameterizedTest
  @ValueSource(ints = {1, 2, 3})
  void unusedTokensHaveNoRoutesAndAreNotCounted(int k) {
    float[] logits = {4, 3, 2, 1, 4, 3, 2, 1, 4, 3, 2, 1};

    Routing routing =
        Layers.with(4, k)
            .minCapacity(4)
            .gate()
            .route(logits, 3, false, UsedTokens.of(new boolean[] {false, true, false}), NO_NOISE);

    for (int j = 0; j < k; j++) {
      assertEquals(NO_EXPERT, routing.expert()[3 * j]);
      assertEquals(j, routing.expert()[3 * j + 1]);
      assertEquals(0, routing.weight()[3 * j + 2]);
      assertEquals(1, routing.expCounts()[j]);
    }
    assertEquals(0, routing.droppedRoutes());
  }

  @Test
  void anUnusedTokenTakesNoSlot() {
    Routing routing =
        Layers.with(1, 1)
            .evalCapacityFactor(.5)
            .gate()
            .route(
                new float[] {0, 0}, 2, false, UsedTokens.of(new boolean[] {false, true}), NO_NOISE);

    assertArrayEquals(new int[] {NO_EXPERT, 0}, routing.expert());
  }

  @Test
  void aMaskOfAnotherLengthIsTheCallersMistake() {
    Gate gate = Layers.with(1, 1).gate();
    UsedTokens mask = UsedTokens.of(new boolean[] {true, true, true});

    GuildhallException thrown =
        assertThrows(
            GuildhallException.class, () -> gate.route(new float[2], 2, false, mask, NO_NOISE));

    assertEquals(ErrorCode.INVALID_ARGUMENT, thrown.code());
    assertEquals(
        "used_token has 3 values; allowed is one a token, 2, or none", thrown.getMessage());
  }

  @Test
  void fewerTokensThanMinCapacityAreAllKept() {
    Routing routing = route(Layers.with(2, 1).minCapacity(4).gate(), 2, 1, 0, 1, 0);

    assertEquals(4, routing.capacity());
    assertArrayEquals(new int[] {0, 0}, routing.expert());
  }

  @Test
  void capacityIsAsLargeAsTheBusiestExpertWhenNothingIsDropped() {
    Routing routing =
        route(Layers.with(2, 1).minCapacity(9).dropTokens(false).gate(), 3, 1, 0, 1, 0, 0, 1);

    assertEquals(2, routing.capacity());
    assertEquals(0, routing.droppedRoutes());
  }

  @Test
  void capacityIsRoundedUpFromSinglePrecision() {
    // 10 * 1.1 is 11.000000000000002 in fp64, whose ceiling is 12; PyTorch's fp32 gives 11.
    Routing routing = route(Layers.with(1, 1).evalCapacityFactor(1.1).gate(), 10, new float[10]);

    assertEquals(11, routing.capacity());
  }

  @Test
  void trainingModeUsesItsOwnCapacityFactor() {
    Gate gate = Layers.with(1, 1).capacityFactor(.5).evalCapacityFactor(.25).gate();

    assertEquals(2, gate.route(new float[4], 4, true, UsedTokens.ALL, NO_NOISE).capacity());
    assertEquals(1, route(gate, 4, new float[4]).capacity());
  }

  @ParameterizedTest
  @ValueSource(ints = {1, 2, 3})
  void noTokensGiveNoRoutesAndNoLoss(int k) {
    Routing routing = route(Layers.with(4, k).minCapacity(4).gate(), 0);

    assertEquals(0, routing.lAux());
    assertEquals(0, routing.expert().length);
    assertArrayEquals(new long[4], routing.expCounts());
    assertEquals(4, routing.capacity());
  }

  @Test
  void aSingleExpertTakesEverythingAtFullWeight() {
    Routing routing = route(Layers.with(1, 1).gate(), 3, 5, -5, 0);

    assertArrayEquals(new int[] {0, 0, 0}, routing.expert());
    assertArrayEquals(new float[] {1, 1, 1}, routing.weight());
    assertEquals(1, routing.lAux(), 1e-6);
  }

  @Test
  void hugeLogitsStayFinite() {
    Routing routing = route(Layers.with(3, 2).minCapacity(1).gate(), 1, 1e30f, -1e30f, 9e29f);

    assertArrayEquals(new int[] {0, 2}, routing.expert());
    assertEquals(1, routing.weight()[0], 1e-6);
    assertTrue(Float.isFinite(routing.lAux()));
  }

  @Test
  void lossIsLeastWhenExpertsShareTheTokens() {
    Gate gate = Layers.with(2, 1).gate();

    float even = route(gate, 2, 3, 0, 0, 3).lAux();
    float skewed = route(gate, 2, 3, 0, 3, 0).lAux();

    assertEquals(1, even, 1e-6);
    assertEquals(2 / (1 + Math.exp(-3)), skewed, 1e-6);
  }

  @Test
  void logitsOfAnotherLengthAreRefused() {
    Gate gate = Layers.with(2, 1).gate();

    assertThrows(IllegalArgumentException.class, () -> route(gate, 2, 1, 0, 1));
  }
}
