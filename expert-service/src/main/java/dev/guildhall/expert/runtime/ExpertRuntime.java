package dev.guildhall.expert.runtime;

import java.lang.foreign.MemorySegment;

/**
 * One hosted expert: a function from rows to rows, each row by itself.
 *
 * <p>Any number of workers may run it at once; a run computes on the thread that calls it.
 */
public interface ExpertRuntime extends AutoCloseable {

  /** H, the width of a row. */
  int hiddenSize();

  /**
   * Computes rows.
   *
   * @param in [rows, H] fp32, native memory, 4-byte aligned; not changed
   * @param rows 0 or more
   * @param out [rows, H] fp32, native memory, 4-byte aligned, apart from {@code in}
   * @throws dev.guildhall.error.GuildhallException INTERNAL if the expert fails, UNAVAILABLE if it
   *     is closed
   */
  void run(MemorySegment in, int rows, MemorySegment out);

  /** Waits for runs in progress and frees the expert. */
  @Override
  void close();
}
