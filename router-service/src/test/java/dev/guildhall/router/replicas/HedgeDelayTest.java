package dev.guildhall.router.replicas;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.SplittableRandom;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;

class HedgeDelayTest {
  private final HedgeDelay delay = new HedgeDelay();

  @Test
  void isASecondUntilSomethingIsKnown() {
    assertEquals(TimeUnit.SECONDS.toNanos(1), delay.nanos());
    record(15, 20);
    assertEquals(TimeUnit.SECONDS.toNanos(1), delay.nanos());
    record(1, 20);
    assertAbout(20);
  }

  @Test
  void isTheTailOfTheLastWindowAndWindowsGrow() {
    record(16, 20);
    record(30, 20);
    record(2, 100);
    assertAbout(100);
    record(63, 30);
    assertAbout(100);
    record(1, 30);
    assertAbout(30);
  }

  @Test
  void windowsStopGrowing() {
    record(16 + 32 + 64 + 128, 20);
    record(256, 30);
    assertAbout(30);
    record(256, 40);
    assertAbout(40);
  }

  /** Batches of 1 to 100 ms, of which those beyond the delay are asked of a second replica. */
  @Test
  void stillsAtTheShareThatItStandsFor() {
    SplittableRandom random = new SplittableRandom(1);
    int hedged = 0;
    for (int batch = 0; batch < 100_000; batch++) {
      long nanos = TimeUnit.MILLISECONDS.toNanos(1) * random.nextInt(1, 101);
      if (nanos > delay.nanos()) {
        delay.exceeded();
        hedged += batch > 50_000 ? 1 : 0;
      } else {
        delay.took(nanos);
      }
    }
    assertTrue(hedged < 0.03 * 50_000, hedged + " of 50,000 hedged");
  }

  @Test
  void growsWhenEverythingTakesLonger() {
    record(16, 20);
    for (int batch = 0; batch < 32 + 64 + 128; batch++) {
      delay.exceeded();
    }
    assertAbout(27); // 20 * 1.1 * 1.1 * 1.1
  }

  @Test
  void isNeverShorterThanTenMilliseconds() {
    record(16, 1);
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
