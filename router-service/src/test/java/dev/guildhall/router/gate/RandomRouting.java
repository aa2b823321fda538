package dev.guildhall.router.gate;

import dev.guildhall.repository.NoisyGatePolicy;
import java.util.SplittableRandom;
import java.util.stream.LongStream;

/** Routings of layers and logits that a seed makes, for tests. */
public final class RandomRouting {
  private RandomRouting() {}

  public static long[] seeds() {
    return LongStream.range(0, 60).toArray();
  }

  public static Routing of(long seed) {
    SplittableRandom random = new SplittableRandom(seed);
    int experts = random.nextInt(1, 12);
    int k = random.nextInt(1, Math.min(experts, 5) + 1);
    Gate gate =
        Layers.with(experts, k)
            .capacityFactor(random.nextDouble(0, 2))
            .evalCapacityFactor(random.nextDouble(0, 2))
            .minCapacity(random.nextInt(4))
            .dropTokens(random.nextInt(4) != 0)
            .useRts(random.nextBoolean())
            .top2SecondExpertSampling(random.nextBoolean())
            .noisyGatePolicy(random.nextBoolean() ? NoisyGatePolicy.RSAMPLE : NoisyGatePolicy.NONE)
            .gate();
    int tokens = random.nextInt(70);
    float[] logits = new float[tokens * experts];
    for (int i = 0; i < logits.length; i++) {
      logits[i] = (float) random.nextGaussian(0, 2);
    }
    boolean[] used = new boolean[random.nextBoolean() ? tokens : 0];
    for (int t = 0; t < used.length; t++) {
      used[t] = random.nextInt(5) != 0;
    }
    return gate.route(
        logits, tokens, random.nextBoolean(), UsedTokens.of(used), new SeededNoise(seed));
  }
}
