package dev.guildhall.expert.batching;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.guildhall.error.ErrorCode;
import dev.guildhall.error.GuildhallException;
import dev.guildhall.expert.runtime.ExpertRuntime;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

class RowBatchTest {
  private final ComputePool pool = ComputePool.builder().workers(1).start();
  private final ExpertQueue expert = pool.host(new ExpertKey("moe", 0), SteppedExpert.free(0));
  private final MemorySegment right = Arena.ofAuto().allocate(3 * SteppedExpert.rowBytes(), 4);

  @AfterEach
  void close() {
    pool.close();
  }

  @Test
  void refusesMemoryThatDoesNotFitItsRows() {
    MemorySegment askew = Arena.ofAuto().allocate(right.byteSize() + 1, 4).asSlice(1);
    for (MemorySegment wrong :
        List.of(
            right.asSlice(4), askew, MemorySegment.ofArray(new float[3 * SteppedExpert.HIDDEN]))) {
      assertInvalid(() -> batch(expert, wrong, right));
      assertInvalid(() -> batch(expert, right, wrong));
    }
  }

  @Test
  void refusesSegmentsWithoutRows() {
    assertInvalid(() -> new RowBatch.Segment(expert, 0));
  }

  @Test
  void refusesExpertsOfAnotherWidth() {
    ExpertQueue wide = pool.host(new ExpertKey("other", 0), new WideExpert());
    assertInvalid(() ->
        new RowBatch(
            List.of(new RowBatch.Segment(expert, 1), new RowBatch.Segment(wide, 1)),
            right,
            right,
            RowBatch.NO_DEADLINE,
            SentBatch.of(expert, 1)));
  }

  private static void assertInvalid(Runnable action) {
    var e = assertThrows(GuildhallException.class, action::run);
    assertEquals(ErrorCode.INVALID_ARGUMENT, e.code());
  }

  private static RowBatch batch(ExpertQueue expert, MemorySegment in, MemorySegment out) {
    return new RowBatch(
        List.of(new RowBatch.Segment(expert, 3)),
        in,
        out,
        RowBatch.NO_DEADLINE,
        SentBatch.of(expert, 3));
  }

  private record WideExpert() implements ExpertRuntime {
    @Override
    public int hiddenSize() {
      return 2 * SteppedExpert.HIDDEN;
    }

    @Override
    public void run(MemorySegment in, int rows, MemorySegment out) {}

    @Override
    public void close() {}
  }
}
