package dev.guildhall.router.admission;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayDeque;
import java.util.Deque;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;

class AdaptiveLimitTest {
  private static final long MOST = 1 << 20;
  private static final long MILLISECOND = TimeUnit.MILLISECONDS.toNanos(1);
  private static final long SECOND = TimeUnit.SECONDS.toNanos(1);
  private static final long START = Long.MAX_VALUE - SECOND; // The clock may wrap.

  private final AdaptiveLimit limit = new AdaptiveLimit(MOST, START);
  private long now = START;

  @Test
  void isTheMostAsLongAsNobodyWaits() {
    window(30 * SECOND, 0, 1000);
    assertEquals(MOST, limit.tokens());
  }

  @Test
  void isCutToWhatIsInFlightAndLessWhenTheQueueIsLong() {
    window(30 * SECOND, 2 * SECOND, 1000);
    assertEquals(500, limit.tokens());
  }

  @Test
  void aQueueIsLongWhenItTakesAQuarterOfTheTimeToTheDeadline() {
    window(200 * MILLISECOND, 49 * MILLISECOND, 1000);
    assertEquals(MOST, limit.tokens());
    window(200 * MILLISECOND, 55 * MILLISECOND, 1000);
    assertEquals(900, limit.tokens());
  }

  @Test
  void aQueueOfLongWorkMayBeLonger() {
    answer(now, 60 * SECOND, 3 * SECOND, SECOND, 4000);
    now += SECOND;
    answer(now, 60 * SECOND, 3 * SECOND, SECOND, 4000);
    assertEquals(MOST, limit.tokens());
  }

  @Test
  void whatBeganBeforeTheLastCutSaysNothingOfItsEffect() {
    long before = now;
    window(30 * SECOND, 2 * SECOND, 1000);
    now += SECOND;
    answer(before, 30 * SECOND, 2 * SECOND, MILLISECOND, 1000);
    assertEquals(500, limit.tokens());
    window(30 * SECOND, 2 * SECOND, 1000);
    assertEquals(250, limit.tokens());
  }

  @Test
  void growsWhileItIsInUseAndTheQueueShort() {
    window(30 * SECOND, 2 * SECOND, 1000);
    window(30 * SECOND, 0, 500);
    assertEquals(550, limit.tokens());
    window(30 * SECOND, 0, 100);
    assertEquals(550, limit.tokens(), "not in use");
  }

  @Test
  void smallLimitsGrowTooAndNoneIsZero() {
    window(30 * SECOND, 100 * SECOND, 1);
    assertEquals(1, limit.tokens());
    window(30 * SECOND, 0, 1);
    assertEquals(17, limit.tokens());
  }

  @Test
  void growsBackToTheMostAndNoFurther() {
    window(30 * SECOND, 2 * SECOND, 1000);
    for (int i = 0; i < 100; i++) {
      window(30 * SECOND, 0, limit.tokens());
    }
    assertEquals(MOST, limit.tokens());
  }

  @Test
  void missedDeadlinesAndRefusalsCutIt() {
    limit.expired(sample(now, SECOND, 1000), now);
    now += SECOND;
    limit.expired(sample(now - SECOND, SECOND, 1000), now);
    assertEquals(250, limit.tokens());
    limit.refused(sample(now, SECOND, 200), now);
    now += SECOND;
    limit.refused(sample(now, SECOND, 200), now);
    assertEquals(50, limit.tokens());
  }

  @Test
  void deadlinesThatNobodyCouldMeetDoNotCutIt() {
    limit.expired(sample(now, MILLISECOND, 1000), now);
    now += SECOND;
    limit.expired(sample(now, MILLISECOND, 1000), now);
    assertEquals(MOST, limit.tokens());
  }

  @Test
  void deadlinesThatOneCallerMissesDoNotCutItWhileOthersHardlyWait() {
    for (int i = 0; i < 20; i++) {
      answer(now, 30 * SECOND, 0, MILLISECOND, 1000);
      limit.expired(sample(now, 60 * MILLISECOND, 1000), now);
      now += 10 * MILLISECOND;
    }
    assertEquals(MOST, limit.tokens());
  }

  @Test
  void answersOfBeforeDoNotSpeakForRequestsThatAllMissTheirDeadlines() {
    answer(now, SECOND, 0, MILLISECOND, 100);
    for (int i = 0; i < 3; i++) {
      now += SECOND;
      limit.expired(sample(now - SECOND, SECOND, 1000), now);
    }
    assertEquals(250, limit.tokens());
  }

  /** Against a server of 1000 tokens a second that is offered three times as much. */
  @Test
  void settlesNearTheQueueThatDeadlinesAllow() {
    Deque<Long> queue = new ArrayDeque<>();
    long inFlightSum = 0;
    for (int millisecond = 0; millisecond < 60_000; millisecond++) {
      now += MILLISECOND;
      for (int i = 0; i < 3 && queue.size() < limit.tokens(); i++) {
        queue.add(now);
      }
      if (!queue.isEmpty()) {
        int inFlight = queue.size();
        long start = queue.remove();
        answer(start, 2 * SECOND, now - start, MILLISECOND, inFlight);
      }
      inFlightSum += queue.size();
      if (millisecond > 10_000) {
        assertTrue(queue.size() > 50, "runs dry at %d ms".formatted(millisecond));
        assertTrue(queue.size() < 1000, "%d at %d ms".formatted(queue.size(), millisecond));
      }
    }
    assertEquals(500, inFlightSum / 60_000.0, 250);
  }

  private void window(long allowed, long wait, long inFlight) {
    answer(now, allowed, wait, MILLISECOND, inFlight);
    now += 100 * MILLISECOND;
    answer(now, allowed, wait, MILLISECOND, inFlight);
  }

  private void answer(long start, long allowed, long wait, long work, long inFlight) {
    limit.answered(sample(start, allowed, inFlight), wait, work, now);
  }

  private static AdaptiveLimit.Sample sample(long start, long allowed, long inFlight) {
    return new AdaptiveLimit.Sample(start, allowed, inFlight);
  }
}
