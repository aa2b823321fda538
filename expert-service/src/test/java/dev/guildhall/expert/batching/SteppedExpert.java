package dev.guildhall.expert.batching;

import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.guildhall.expert.runtime.ExpertRuntime;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;

/**
 * An expert that adds its offset to every element, that tells when a run has begun, and that can be
 * held inside a run until the test lets it go.
 */
final class SteppedExpert implements ExpertRuntime {
  static final int HIDDEN = 4;

  private final float offset;
  private final Semaphore entered = new Semaphore(0);
  private final Semaphore permits;
  private final List<MemorySegment> inputs = new CopyOnWriteArrayList<>();

  private SteppedExpert(float offset, int permits) {
    this.offset = offset;
    this.permits = new Semaphore(permits);
  }

  static SteppedExpert free(float offset) {
    return new SteppedExpert(offset, 1 << 20);
  }

  static SteppedExpert held(float offset) {
    return new SteppedExpert(offset, 0);
  }

  /** Waits until this many more runs have begun. */
  void awaitRuns(int count) throws InterruptedException {
    assertTrue(entered.tryAcquire(count, 10, TimeUnit.SECONDS), "no worker came");
  }

  void release(int runs) {
    permits.release(runs);
  }

  /** Rows of each run so far. */
  List<Integer> runs() {
    return inputs.stream().map(in -> (int) (in.byteSize() / rowBytes())).toList();
  }

  MemorySegment input(int run) {
    return inputs.get(run);
  }

  static long rowBytes() {
    return (long) HIDDEN * Float.BYTES;
  }

  @Override
  public int hiddenSize() {
    return HIDDEN;
  }

  @Override
  public void run(MemorySegment in, int rows, MemorySegment out) {
    inputs.add(in.asSlice(0, rows * rowBytes()));
    entered.release();
    permits.acquireUninterruptibly();
    for (long i = 0; i < (long) rows * HIDDEN; i++) {
      out.setAtIndex(ValueLayout.JAVA_FLOAT, i, in.getAtIndex(ValueLayout.JAVA_FLOAT, i) + offset);
    }
  }

  @Override
  public void close() {}
}
