package dev.guildhall.router.gate;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.function.IntToDoubleFunction;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

class SeededNoiseTest {
  private static final int DRAWS = 100_000;
  private static final double EULER = 0.5772156649015329;

  private final SeededNoise noise = new SeededNoise(7);

  @Test
  void uniformDrawsFillTheUnitInterval() {
    IntToDoubleFunction draw = i -> noise.uniform(i / 64, i % 64);

    assertEquals(0.5, mean(draw), 0.005);
    assertEquals(1 / 12.0, variance(draw), 0.001);
    assertTrue(IntStream.range(0, DRAWS).mapToDouble(draw).allMatch(u -> u >= 0 && u < 1));
  }

  @Test
  void gumbelDrawsHaveTheirMomentsAndAreFinite() {
    IntToDoubleFunction draw = i -> noise.gumbel(i / 64, i % 64);

    assertEquals(EULER, mean(draw), 0.02);
    assertEquals(Math.PI * Math.PI / 6, variance(draw), 0.05);
    assertTrue(IntStream.range(0, DRAWS).mapToDouble(draw).allMatch(Double::isFinite));
  }

  @Test
  void jitterStaysWithinOnePercent() {
    IntToDoubleFunction draw = i -> noise.jitter(i / 64, i % 64);

    assertEquals(1, mean(draw), 1e-4);
    assertTrue(
        IntStream.range(0, DRAWS).mapToDouble(draw).allMatch(j -> j >= 0.98999 && j <= 1.01001));
  }

  @Test
  void aGumbelDrawAboveTheFloorIsNeverLeftOut() {
    for (int i = 0; i < DRAWS; i++) {
      float floor = i % 9 - 2;
      float draw = noise.gumbel(3, i);
      float asked = noise.gumbelIfAbove(floor, 3, i);
      assertTrue(asked == draw || (draw <= floor && asked <= floor), "draw " + i);
    }
  }

  @Test
  void drawsDependOnSeedPlaceAndKindOnly() {
    assertEquals(noise.uniform(5, 3), new SeededNoise(7).uniform(5, 3));
    assertNotEquals(noise.uniform(5, 3), new SeededNoise(8).uniform(5, 3));
    assertNotEquals(noise.uniform(5, 3), noise.uniform(3, 5));
    assertNotEquals(noise.uniform(0, 0), (noise.jitter(0, 0) - 0.99f) / 0.02f, 1e-3f);
  }

  @Test
  void drawsAreTheSameOnEveryPlatformAndVersion() {
    assertEquals(0.030204594f, noise.uniform(1, 2));
    assertEquals(0.48285323f, noise.gumbel(1, 2));
    assertEquals(0.99963814f, noise.jitter(1, 2));
  }

  private static double mean(IntToDoubleFunction draw) {
    return IntStream.range(0, DRAWS).mapToDouble(draw).average().orElseThrow();
  }

  private static double variance(IntToDoubleFunction draw) {
    double mean = mean(draw);
    return IntStream.range(0, DRAWS)
        .mapToDouble(draw)
        .map(d -> (d - mean) * (d - mean))
        .average()
        .orElseThrow();
  }
}
