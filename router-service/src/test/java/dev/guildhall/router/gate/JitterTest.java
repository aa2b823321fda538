package dev.guildhall.router.gate;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.guildhall.repository.LayerConfig;
import dev.guildhall.repository.NoisyGatePolicy;
import java.lang.foreign.MemorySegment;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class JitterTest {

  @Test
  void multipliesEveryElementByItsDrawAndLeavesTheInputAlone() {
    float[] input = {1, 2, 3, 4};
    float[] output = new float[4];
    NoiseSource draws =
        new RecordedNoise(new float[] {2, 3, 4, 5}, 2, new float[0], new float[0], 0);

    Jitter.apply(MemorySegment.ofArray(input), 2, 2, draws, MemorySegment.ofArray(output));

    assertArrayEquals(new float[] {2, 6, 12, 20}, output);
    assertArrayEquals(new float[] {1, 2, 3, 4}, input);
  }

  @ParameterizedTest
  @EnumSource
  void appliesToItsPolicyInTrainingModeOnly(NoisyGatePolicy policy) {
    LayerConfig layer = Layers.with(2, 1).noisyGatePolicy(policy).build();

    assertEquals(policy == NoisyGatePolicy.JITTER, Jitter.applies(layer, true));
    assertEquals(false, Jitter.applies(layer, false));
  }
}
