package dev.guildhall.expert.batching;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/**
 * A worker's own memory for merged rows: grows to what the largest block needed, is freed with the
 * worker. Used by the worker's thread only.
 */
final class Scratch implements AutoCloseable {
  private static final long ALIGNMENT = 64;

  private Arena arena = Arena.ofConfined();
  private MemorySegment in = MemorySegment.NULL;
  private MemorySegment out = MemorySegment.NULL;

  MemorySegment in(long bytes) {
    ensure(bytes);
    return in.asSlice(0, bytes);
  }

  MemorySegment out(long bytes) {
    ensure(bytes);
    return out.asSlice(0, bytes);
  }

  // Closed by the next growth or by close().
  @SuppressWarnings("MustBeClosed")
  private void ensure(long bytes) {
    if (bytes <= in.byteSize()) {
      return;
    }
    arena.close();
    in = MemorySegment.NULL;
    out = MemorySegment.NULL;
    arena = Arena.ofConfined();
    // By powers of two, so that a worker grows a handful of times.
    long size = Long.highestOneBit(bytes - 1) << 1;
    MemorySegment both = arena.allocate(2 * size, ALIGNMENT);
    in = both.asSlice(0, size);
    out = both.asSlice(size, size);
  }

  @Override
  public void close() {
    arena.close();
  }
}
