package dev.guildhall.expert.batching;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.guildhall.error.ErrorCode;
import dev.guildhall.error.GuildhallException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;

/** A batch with memory of its own, and what its completion has heard. */
final class SentBatch implements BatchCompletion {
  private final CountDownLatch ended = new CountDownLatch(1);
  private final AtomicInteger calls = new AtomicInteger();
  private final MemorySegment in;
  private final MemorySegment out;
  private final RowBatch batch;
  private volatile Optional<GuildhallException> failure = Optional.empty();

  SentBatch(long deadlineNanos, List<RowBatch.Segment> segments) {
    long floats = segments.stream().mapToLong(RowBatch.Segment::rows).sum() * SteppedExpert.HIDDEN;
    in = Arena.ofAuto().allocate(floats * Float.BYTES, 4);
    out = Arena.ofAuto().allocate(floats * Float.BYTES, 4);
    for (long i = 0; i < floats; i++) {
      in.setAtIndex(ValueLayout.JAVA_FLOAT, i, (float) i);
    }
    batch = new RowBatch(segments, in, out, deadlineNanos, this);
  }

  static SentBatch of(ExpertQueue expert, int rows) {
    return new SentBatch(RowBatch.NO_DEADLINE, List.of(new RowBatch.Segment(expert, rows)));
  }

  SentBatch to(ComputePool pool) {
    pool.submit(batch);
    return this;
  }

  RowBatch batch() {
    return batch;
  }

  MemorySegment in() {
    return in;
  }

  @Override
  public void succeeded() {
    calls.incrementAndGet();
    ended.countDown();
  }

  @Override
  public void failed(GuildhallException e) {
    failure = Optional.of(e);
    succeeded();
  }

  boolean hasEnded() {
    return ended.getCount() == 0;
  }

  /** Waits for success, and checks that each element is its input plus its expert's offset. */
  void awaitRows(float... offsetOfSegment) throws InterruptedException {
    await();
    assertEquals(Optional.empty(), failure);
    long i = 0;
    for (int segment = 0; segment < offsetOfSegment.length; segment++) {
      long end = i + (long) batch.segments().get(segment).rows() * SteppedExpert.HIDDEN;
      for (; i < end; i++) {
        assertEquals(
            (float) i + offsetOfSegment[segment], out.getAtIndex(ValueLayout.JAVA_FLOAT, i));
      }
    }
  }

  GuildhallException awaitFailure(ErrorCode code) throws InterruptedException {
    await();
    assertFalse(failure.isEmpty(), "the batch succeeded");
    assertEquals(code, failure.get().code());
    return failure.get();
  }

  boolean awaitEnd() throws InterruptedException {
    await();
    return failure.isEmpty();
  }

  /** How often the completion was called. */
  int calls() {
    return calls.get();
  }

  private void await() throws InterruptedException {
    assertTrue(ended.await(10, TimeUnit.SECONDS), "the batch did not end");
  }
}
