package dev.guildhall.router.replicas;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;

class HedgeDelayTest {
  private final HedgeDelay delay = new HedgeDelay();

  @Test
  void isASecondUntilSomethingIsKnown() {
    assertEquals(TimeUnit.SECONDS.toNanos(1), delay.nanos());
    record(255, 20);
    assertEquals(TimeUnit.SECONDS.toNanos(1), delay.nanos());
  }

  @Test
  void isTwiceTheTailOfTheLastWindow() {
    record(250, 20);
    record(6, 100);
    assertAbout(200);
    record(256, 30);
    assertAbout(60);
  }

  @Test
  void isNeverShorterThanTenMilliseconds() {
    record(256, 1);
    assertEquals(TimeUnit.MILLISECONDS.toNanos(10), delay.nanos());
  }

  private void record(int batches, long millis) {
    for (int i = 0; i < batches; i++) {
      delay.took(TimeUnit.MILLISECONDS.toNanos(millis));
    }
  }

  /** To the two digits that are kept. */
  private void assertAbout(long millis) {
    double actual = delay.nanos() / 1e6;
    assertTrue(Math.abs(actual - millis) < 0.02 * millis, "delay is " + actual + " ms");
  }
}
