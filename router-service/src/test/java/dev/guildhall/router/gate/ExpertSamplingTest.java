package dev.guildhall.router.gate;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Sampling of experts with drawn noise. */
class ExpertSamplingTest {

  static long[] seeds() {
    return RandomRouting.seeds();
  }

  @ParameterizedTest(name = "seed {0}")
  @MethodSource("seeds")
  void leavingOutDrawsThatCannotWinChangesNoChoice(long seed) {
    SplittableRandom random = new SplittableRandom(seed);
    float[] logits = new float[100 * 16];
    for (int i = 0; i < logits.length; i++) {
      logits[i] = (float) random.nextGaussian(0, (int) (seed % 5));
    }
    Gate gate = Layers.with(16, 2).top2SecondExpertSampling(true).dropTokens(false).gate();
    SeededNoise noise = new SeededNoise(seed);

    Routing lazy = gate.route(logits, 100, false, UsedTokens.ALL, noise);
    Routing eager = gate.route(logits, 100, false, UsedTokens.ALL, new EveryDraw(noise));

    assertArrayEquals(eager.expert(), lazy.expert());
  }

  @Test
  void secondExpertsFollowTheSoftmaxOfTheOthers() {
    // Gumbel noise on logits draws from their softmax: e / (1 + e) of expert 1 against 2.
    int tokens = 20_000;
    float[] logits = new float[tokens * 3];
    for (int t = 0; t < tokens; t++) {
      logits[3 * t] = 9;
      logits[3 * t + 1] = 1;
    }
    Gate gate = Layers.with(3, 2).top2SecondExpertSampling(true).dropTokens(false).gate();

    Routing routing = gate.route(logits, tokens, false, UsedTokens.ALL, new SeededNoise(1));

    assertEquals(Math.E / (1 + Math.E), routing.expCounts()[1] / (double) tokens, 0.01);
  }

  /** Computes every draw, as the interface does by default. */
  private record EveryDraw(NoiseSource noise) implements NoiseSource {
    @Override
    public float jitter(int token, int dim) {
      return noise.jitter(token, dim);
    }

    @Override
    public float gumbel(int token, int expert) {
      return noise.gumbel(token, expert);
    }

    @Override
    public float uniform(int token, int expert) {
      return noise.uniform(token, expert);
    }
  }
}
