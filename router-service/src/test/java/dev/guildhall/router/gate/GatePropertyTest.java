package dev.guildhall.router.gate;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import java.util.HashSet;
import java.util.Set;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** What holds for every routing, tried on layers and logits made from a seed. */
class GatePropertyTest {

  static long[] seeds() {
    return RandomRouting.seeds();
  }

  @ParameterizedTest(name = "seed {0}")
  @MethodSource("seeds")
  void slotsOfAnExpertAreZeroToItsNumberOfRoutes(long seed) {
    Routing routing = RandomRouting.of(seed);
    int[] kept = new int[routing.experts()];
    Set<Long> places = new HashSet<>();

    for (int i = 0; i < routing.expert().length; i++) {
      int expert = routing.expert()[i];
      if (expert != Routing.NO_EXPERT) {
        kept[expert]++;
        assertTrue(routing.slot()[i] < routing.capacity());
        assertTrue(places.add((long) expert << 32 | routing.slot()[i]), "slot is taken twice");
      }
    }
    for (int e = 0; e < kept.length; e++) {
      assertEquals(Math.min(routing.expCounts()[e], routing.capacity()), kept[e]);
    }
    assertEquals(routing.routes(), Arrays.stream(kept).sum());
    assertEquals(
        Arrays.stream(routing.expCounts()).sum(), routing.routes() + routing.droppedRoutes());
  }

  @ParameterizedTest(name = "seed {0}")
  @MethodSource("seeds")
  void expertsOfATokenDiffer(long seed) {
    Routing routing = RandomRouting.of(seed);

    for (int t = 0; t < routing.tokens(); t++) {
      Set<Integer> experts = new HashSet<>();
      for (int i = t; i < routing.expert().length; i += routing.tokens()) {
        assertTrue(routing.expert()[i] == Routing.NO_EXPERT || experts.add(routing.expert()[i]));
      }
    }
  }

  @ParameterizedTest(name = "seed {0}")
  @MethodSource("seeds")
  void weightsOfATokenSumToOneOverItsKeptRoutes(long seed) {
    Routing routing = RandomRouting.of(seed);

    for (int t = 0; t < routing.tokens(); t++) {
      double sum = 0;
      boolean kept = false;
      for (int i = t; i < routing.expert().length; i += routing.tokens()) {
        kept |= routing.expert()[i] != Routing.NO_EXPERT;
        sum += routing.weight()[i];
      }
      if (!kept) {
        assertEquals(0, sum);
      } else if (routing.k() > 1) {
        assertEquals(1, sum, 1e-5);
      } else {
        assertTrue(sum > 0 && sum <= 1);
      }
    }
  }

  @ParameterizedTest(name = "seed {0}")
  @MethodSource("seeds")
  void theSameSeedGivesTheSameRoutes(long seed) {
    Routing first = RandomRouting.of(seed);
    Routing second = RandomRouting.of(seed);

    assertArrayEquals(first.expert(), second.expert());
    assertArrayEquals(first.slot(), second.slot());
    assertArrayEquals(first.weight(), second.weight());
    assertEquals(first.lAux(), second.lAux());
  }
}
