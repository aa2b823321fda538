package dev.guildhall.expert.batching;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class BlockSizeTest {
  private final BlockSize size = new BlockSize(32, 512);

  @ParameterizedTest
  @CsvSource({
    // An expert alone is shared by the workers,
    "400, 400, 2, 200",
    "400, 400, 4, 100",
    // but never cut below the least block, and without a small rest.
    "60, 60, 8, 32",
    "40, 40, 8, 40",
    "20, 20, 2, 20",
    // While other experts have work for the other workers, an expert stays in one piece.
    "128, 1024, 2, 128",
    "400, 410, 2, 205",
    "5000, 5000, 2, 512",
    "520, 5000, 2, 512",
  })
  void isTheFairShareOfAllThatIsQueued(long expertRows, long allRows, int workers, int expected) {
    assertEquals(expected, size.rows(expertRows, allRows, workers));
  }

  @Test
  void refusesBoundsThatContradict() {
    assertThrows(IllegalArgumentException.class, () -> new BlockSize(0, 4));
    assertThrows(IllegalArgumentException.class, () -> new BlockSize(5, 4));
  }
}
