package dev.guildhall.router.replicas;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;

class TrackRecordTest {
  private static final String LAYER = "layer";
  private static final long START = Long.MAX_VALUE - 1_000; // The clock may wrap.
  private static final long MILLISECOND = TimeUnit.MILLISECONDS.toNanos(1);
  private static final long SECOND = TimeUnit.SECONDS.toNanos(1);

  private final TrackRecord record = new TrackRecord("replica");
  private long now = START;

  @Test
  void ejectsAfterFiveFailuresInARow() {
    fail(4);
    record.succeeded();
    fail(4);
    assertFalse(record.ejected(now));
    assertTrue(record.failed(now));
    assertTrue(record.ejected(now + SECOND - 1));
    assertFalse(record.ejected(now + SECOND));
  }

  @Test
  void countsOneEjectionHoweverManyFailuresComeMeanwhile() {
    fail(4);
    assertTrue(record.failed(now));
    assertFalse(record.failed(now));
  }

  @Test
  void ejectsTwiceAsLongAfterARelapse() {
    fail(5);
    now += SECOND;
    assertTrue(record.failed(now), "one more failure is enough");
    assertTrue(record.ejected(now + 2 * SECOND - 1));
    assertFalse(record.ejected(now + 2 * SECOND));
  }

  @Test
  void ejectsAReplicaThatIsSlowForAWholeSecond() {
    assertFalse(batches(100, 50 * MILLISECOND, MILLISECOND));
    now += SECOND;
    assertTrue(batches(1, 50 * MILLISECOND, MILLISECOND));
    assertTrue(record.ejected(now));
  }

  @Test
  void aStallAmongQuickBatchesIsNoReason() {
    batches(30, MILLISECOND, MILLISECOND);
    batches(30, 100 * MILLISECOND, MILLISECOND);
    now += SECOND;
    assertFalse(batches(1, MILLISECOND, MILLISECOND));
  }

  @Test
  void nobodyIsSlowWithoutAPeerToCompareWith() {
    batches(100, 50 * MILLISECOND, 0);
    now += SECOND;
    assertFalse(batches(1, 50 * MILLISECOND, 0));
  }

  @Test
  void differencesBelowFiveMillisecondsDoNotMatter() {
    batches(100, 4 * MILLISECOND, MILLISECOND / 10);
    now += SECOND;
    assertFalse(batches(1, 4 * MILLISECOND, MILLISECOND / 10));
  }

  @Test
  void goodBehaviourShortensTheNextEjection() {
    fail(5);
    now += SECOND;
    record.succeeded();
    batches(10, MILLISECOND, MILLISECOND);
    now += SECOND;
    batches(1, MILLISECOND, MILLISECOND);
    fail(5);
    assertFalse(record.ejected(now + SECOND));
  }

  @Test
  void theMeanFollowsWhatIsMeasured() {
    assertEquals(0, record.meanNanos(LAYER));
    record.took("other", 99 * MILLISECOND, 0, now);
    batches(1, 10 * MILLISECOND, 0);
    assertEquals((double) (10 * MILLISECOND), record.meanNanos(LAYER));
    batches(200, MILLISECOND, 0);
    assertEquals((double) MILLISECOND, record.meanNanos(LAYER), MILLISECOND / 100.0);
  }

  private void fail(int times) {
    for (int i = 0; i < times; i++) {
      record.failed(now);
    }
  }

  private boolean batches(int count, long nanos, long peerNanos) {
    boolean ejected = false;
    for (int i = 0; i < count; i++) {
      ejected |= record.took(LAYER, nanos, (double) peerNanos, now);
    }
    return ejected;
  }
}
