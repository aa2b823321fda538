package dev.guildhall.expert.batching;

import dev.guildhall.expert.runtime.ExpertRuntime;
import java.lang.foreign.MemorySegment;

/** An expert whose every run fails with the given error. */
record FailingExpert(Throwable failure) implements ExpertRuntime {
  @Override
  public int hiddenSize() {
    return SteppedExpert.HIDDEN;
  }

  @Override
  public void run(MemorySegment in, int rows, MemorySegment out) {
    if (failure instanceof Error error) {
      throw error;
    }
    throw (RuntimeException) failure;
  }

  @Override
  public void close() {}
}
