package dev.guildhall.expert.batching;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.guildhall.error.ErrorCode;
import dev.guildhall.error.GuildhallException;
import dev.guildhall.expert.batching.BatchingListener.ComputedBlock;
import java.time.Duration;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

class ComputePoolTest {
  private final AtomicLong clock = new AtomicLong(1_000);
  private final List<ComputedBlock> blocks = new CopyOnWriteArrayList<>();
  private final SteppedExpert gatekeeper = SteppedExpert.held(0);
  private ComputePool pool = start(ComputePool.builder().workers(1));

  private ComputePool start(ComputePool.Builder builder) {
    return builder.clock(clock::get).listener(blocks::add).start();
  }

  private void restart(ComputePool.Builder builder) {
    pool.close();
    pool = start(builder);
  }

  @AfterEach
  void close() {
    gatekeeper.release(1000);
    pool.close();
  }

  /** Keeps the only worker busy until {@link #letGo}. */
  private SentBatch holdTheWorker() throws InterruptedException {
    SentBatch held = SentBatch.of(host(99, gatekeeper), 1).to(pool);
    gatekeeper.awaitRuns(1);
    return held;
  }

  private void letGo() {
    gatekeeper.release(1);
  }

  private ExpertQueue host(int expert, SteppedExpert runtime) {
    return pool.host(new ExpertKey("moe", expert), runtime);
  }

  private static RowBatch.Segment segment(ExpertQueue expert, int rows) {
    return new RowBatch.Segment(expert, rows);
  }

  @Test
  void computesEachSegmentWithItsExpert() throws Exception {
    ExpertQueue one = host(1, SteppedExpert.free(100));
    ExpertQueue two = host(2, SteppedExpert.free(200));
    new SentBatch(RowBatch.NO_DEADLINE, List.of(segment(one, 3), segment(two, 2)))
        .to(pool)
        .awaitRows(100, 200);
    assertEquals(0, pool.queuedRows());
  }

  @Test
  void computesALoneSegmentInTheBatchsOwnMemory() throws Exception {
    SteppedExpert expert = SteppedExpert.free(1);
    SentBatch sent = SentBatch.of(host(1, expert), 7).to(pool);
    sent.awaitRows(1);
    assertEquals(sent.in().address(), expert.input(0).address());
  }

  @Test
  void mergesWhatWaitsTogetherForAnExpert() throws Exception {
    SteppedExpert expert = SteppedExpert.free(5);
    ExpertQueue queue = host(1, expert);
    SentBatch held = holdTheWorker();
    SentBatch first = SentBatch.of(queue, 3).to(pool);
    SentBatch second = SentBatch.of(queue, 1).to(pool);
    clock.addAndGet(50);
    SentBatch third = SentBatch.of(queue, 2).to(pool);
    assertEquals(6, pool.queuedRows());
    clock.addAndGet(25);
    letGo();
    first.awaitRows(5);
    second.awaitRows(5);
    third.awaitRows(5);
    held.awaitRows(0);
    assertEquals(List.of(6), expert.runs());
    assertNotEquals(first.in().address(), expert.input(0).address());
    assertEquals(new ComputedBlock(queue.key(), 6, 3, 75, 0), blocks.getLast());
  }

  @Test
  void aBatchsWaitEndsWithItsLastRowsAndLeavesOutItsOwnWork() throws Exception {
    SteppedExpert quick = SteppedExpert.free(1);
    SteppedExpert shared = SteppedExpert.held(2);
    ExpertQueue first = host(1, quick);
    ExpertQueue second = host(2, shared);
    holdTheWorker();
    SentBatch sent =
        new SentBatch(RowBatch.NO_DEADLINE, List.of(segment(first, 3), segment(second, 1)))
            .to(pool);
    SentBatch other = SentBatch.of(second, 3).to(pool);
    clock.addAndGet(70);
    letGo();
    shared.awaitRuns(1);
    clock.addAndGet(40);
    shared.release(1);
    sent.awaitRows(1, 2);
    other.awaitRows(2);
    // Of the block's 40 one row's share is the batch's own work.
    assertEquals(70 + 30, sent.batch().queueNanos());
    assertEquals(70 + 10, other.batch().queueNanos());
  }

  @Test
  void refusesABatchThatWouldWaitForMostOfItsTime() throws Exception {
    ExpertQueue expert = host(1, SteppedExpert.free(1));
    SentBatch held = holdTheWorker();
    SentBatch first = SentBatch.of(expert, 1).to(pool);
    clock.addAndGet(100_000_000);
    long now = clock.get();
    SentBatch urgent = new SentBatch(now + 190_000_000, List.of(segment(expert, 1)));
    var refused = assertThrows(GuildhallException.class, () -> urgent.to(pool));
    assertEquals(ErrorCode.RESOURCE_EXHAUSTED, refused.code());
    assertEquals(
        "queued rows have waited 100 ms; the limit is half of the batch's time, 95 ms",
        refused.getMessage());
    SentBatch patient = new SentBatch(now + 210_000_000, List.of(segment(expert, 1))).to(pool);
    letGo();
    held.awaitRows(0);
    first.awaitRows(1);
    patient.awaitRows(1);
  }

  @Test
  void cutsAHotExpertOverTheWorkers() throws Exception {
    restart(ComputePool.builder().workers(2));
    SteppedExpert hot = SteppedExpert.held(7);
    SentBatch sent = SentBatch.of(host(1, hot), 100).to(pool);
    hot.awaitRuns(2);
    // In whatever order the two began.
    assertEquals(Set.of(50, 32), Set.copyOf(hot.runs()));
    hot.release(3);
    sent.awaitRows(7);
    assertEquals(18, hot.runs().getLast());
    assertEquals(3, hot.runs().size());
  }

  @Test
  void servesExpertsInTurn() throws Exception {
    restart(ComputePool.builder().workers(1).blockRows(4, 4));
    ExpertQueue hot = host(1, SteppedExpert.free(1));
    ExpertQueue two = host(2, SteppedExpert.free(2));
    ExpertQueue three = host(3, SteppedExpert.free(3));
    holdTheWorker();
    List<SentBatch> sent =
        List.of(
            SentBatch.of(hot, 10).to(pool),
            SentBatch.of(two, 2).to(pool),
            SentBatch.of(three, 3).to(pool));
    letGo();
    for (int i = 0; i < 3; i++) {
      sent.get(i).awaitRows(i + 1);
    }
    assertEquals(
        List.of("99:1", "1:4", "2:2", "3:3", "1:4", "1:2"),
        blocks.stream().map(block -> block.expert().expert() + ":" + block.rows()).toList());
  }

  @Test
  void doesNotComputeWhatIsTooLate() throws Exception {
    SteppedExpert expert = SteppedExpert.free(1);
    ExpertQueue queue = host(1, expert);
    holdTheWorker();
    SentBatch late = new SentBatch(1_500, List.of(segment(queue, 4))).to(pool);
    SentBatch early = new SentBatch(1_501, List.of(segment(queue, 2))).to(pool);
    clock.set(1_500);
    letGo();
    late.awaitFailure(ErrorCode.DEADLINE_EXCEEDED);
    early.awaitRows(1);
    assertEquals(List.of(2), expert.runs());
  }

  @Test
  void keepsDeadlinesOnAClockThatWraps() throws Exception {
    clock.set(Long.MAX_VALUE - 10);
    ExpertQueue queue = host(1, SteppedExpert.free(1));
    new SentBatch(clock.get() + 100, List.of(segment(queue, 4))).to(pool).awaitRows(1);
    new SentBatch(clock.get() - 1, List.of(segment(queue, 4)))
        .to(pool)
        .awaitFailure(ErrorCode.DEADLINE_EXCEEDED);
  }

  @Test
  void doesNotComputeWhatIsCancelled() throws Exception {
    SteppedExpert expert = SteppedExpert.free(1);
    ExpertQueue queue = host(1, expert);
    holdTheWorker();
    SentBatch sent = SentBatch.of(queue, 4).to(pool);
    sent.batch().cancel();
    letGo();
    sent.awaitFailure(ErrorCode.CANCELLED);
    assertEquals(List.of(), expert.runs());
    assertEquals(0, pool.queuedRows());
  }

  @Test
  void endsACancelledBatchOnlyWhenNoWorkerUsesItsMemory() throws Exception {
    SteppedExpert running = SteppedExpert.held(1);
    SteppedExpert waiting = SteppedExpert.free(2);
    restart(ComputePool.builder().workers(2));
    SentBatch sent =
        new SentBatch(
            RowBatch.NO_DEADLINE,
            List.of(segment(host(1, running), 4), segment(host(99, gatekeeper), 1)));
    sent.to(pool);
    running.awaitRuns(1);
    gatekeeper.awaitRuns(1);
    ExpertQueue queue = host(2, waiting);
    sent.batch().cancel();
    letGo();
    // The free worker serves others while the batch is still in use.
    SentBatch.of(queue, 1).to(pool).awaitRows(2);
    assertFalse(sent.hasEnded());
    running.release(1);
    sent.awaitFailure(ErrorCode.CANCELLED);
  }

  @Test
  void ignoresCancellingABatchThatHasEnded() throws Exception {
    SentBatch sent = SentBatch.of(host(1, SteppedExpert.free(1)), 4).to(pool);
    sent.awaitRows(1);
    sent.batch().cancel();
    assertEquals(1, sent.calls());
  }

  @Test
  void refusesRowsBeyondItsLimit() throws Exception {
    restart(ComputePool.builder().workers(1).maxQueuedRows(10));
    ExpertQueue queue = host(1, SteppedExpert.free(1));
    holdTheWorker();
    SentBatch accepted = SentBatch.of(queue, 8).to(pool);
    SentBatch refused = SentBatch.of(queue, 3);
    var full = assertThrows(GuildhallException.class, () -> refused.to(pool));
    assertEquals(ErrorCode.RESOURCE_EXHAUSTED, full.code());
    assertEquals("8 rows are queued and 3 more were sent; the limit is 10", full.getMessage());
    assertFalse(refused.hasEnded());
    var never = assertThrows(GuildhallException.class, () -> SentBatch.of(queue, 11).to(pool));
    assertEquals(ErrorCode.INVALID_ARGUMENT, never.code());
    SentBatch fits = SentBatch.of(queue, 2).to(pool);
    letGo();
    accepted.awaitRows(1);
    fits.awaitRows(1);
    refused.to(pool).awaitRows(1);
  }

  @Test
  void failsOnlyTheBatchesOfABlockThatFails() throws Exception {
    ExpertQueue broken =
        pool.host(new ExpertKey("moe", 3), new FailingExpert(new StackOverflowError("too deep")));
    ExpertQueue good = host(1, SteppedExpert.free(1));
    holdTheWorker();
    SentBatch both =
        new SentBatch(RowBatch.NO_DEADLINE, List.of(segment(broken, 2), segment(good, 2)));
    both.to(pool);
    SentBatch merged = SentBatch.of(broken, 1).to(pool);
    SentBatch unhurt = SentBatch.of(good, 5).to(pool);
    letGo();
    var failure = both.awaitFailure(ErrorCode.INTERNAL);
    assertTrue(failure.toString().contains("moe/3"), failure.toString());
    assertTrue(failure.toString().contains("too deep"), failure.toString());
    merged.awaitFailure(ErrorCode.INTERNAL);
    unhurt.awaitRows(1);
  }

  @Test
  void passesOnTheErrorThatAnExpertTells() throws Exception {
    var told = new GuildhallException(ErrorCode.UNAVAILABLE, "the expert is closed");
    SentBatch sent =
        SentBatch.of(pool.host(new ExpertKey("moe", 3), new FailingExpert(told)), 1).to(pool);
    assertEquals(told, sent.awaitFailure(ErrorCode.UNAVAILABLE));
  }

  @Test
  void survivesListenersAndCompletionsThatFail() throws Exception {
    pool.close();
    pool =
        ComputePool.builder()
            .workers(1)
            .listener(block -> {
              throw new IllegalStateException("listener");
            })
            .start();
    ExpertQueue queue = host(1, SteppedExpert.free(1));
    SentBatch model = SentBatch.of(queue, 2);
    pool.submit(
        new RowBatch(
            model.batch().segments(),
            model.in(),
            model.in().asSlice(0),
            RowBatch.NO_DEADLINE,
            new BatchCompletion() {
              @Override
              public void succeeded() {
                throw new IllegalStateException("completion");
              }

              @Override
              public void failed(GuildhallException failure) {
                throw failure;
              }
            }));
    SentBatch.of(queue, 2).to(pool).awaitRows(1);
  }

  @Test
  void endsABatchWithoutRowsAtOnce() {
    SentBatch empty = new SentBatch(RowBatch.NO_DEADLINE, List.of()).to(pool);
    assertTrue(empty.hasEnded());
    assertEquals(1, empty.calls());
  }

  @Test
  void finishesWhatRunsAndFailsWhatWaitsWhenClosed() throws Exception {
    ExpertQueue queue = host(1, SteppedExpert.free(1));
    SentBatch running = holdTheWorker();
    SentBatch waiting = SentBatch.of(queue, 3).to(pool);
    Thread closing = Thread.ofPlatform().start(pool::close);
    waiting.awaitFailure(ErrorCode.UNAVAILABLE);
    assertFalse(running.hasEnded());
    letGo();
    running.awaitRows(0);
    closing.join();
    var refused = assertThrows(GuildhallException.class, () -> SentBatch.of(queue, 1).to(pool));
    assertEquals(ErrorCode.UNAVAILABLE, refused.code());
  }

  @Test
  void doesNotWaitForeverForAnExpertThatHangs() throws Exception {
    restart(ComputePool.builder().workers(1).closeTimeout(Duration.ofMillis(1)));
    SentBatch stuck = holdTheWorker();
    pool.close();
    assertFalse(stuck.hasEnded());
    letGo();
    stuck.awaitRows(0);
  }

  @Test
  void takesABatchOnceAndOnlyForItsOwnExperts() throws Exception {
    SentBatch sent = SentBatch.of(host(1, SteppedExpert.free(1)), 1).to(pool);
    sent.awaitRows(1);
    assertThrows(IllegalStateException.class, () -> sent.to(pool));
    try (ComputePool other = ComputePool.builder().workers(1).start()) {
      SentBatch foreign = SentBatch.of(host(1, SteppedExpert.free(1)), 1);
      assertThrows(IllegalArgumentException.class, () -> foreign.to(other));
    }
  }
}
