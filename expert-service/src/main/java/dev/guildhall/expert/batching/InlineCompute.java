package dev.guildhall.expert.batching;

import java.util.function.LongSupplier;

/**
 * Computes a batch on the thread that brings it, when that is sooner done than waking a worker: its
 * experts are known to be quick and no rows wait. Waking a worker and then the event loop for the
 * answer costs 30 to 100 us; an expert of 128/256 takes 10.
 */
final class InlineCompute {
  /** The longest that an event loop is kept from its other work. */
  private static final long MAX_NANOS = 50_000;

  private final WorkQueue queue;
  private final BlockRunner runner;
  private final LongSupplier clock;

  InlineCompute(WorkQueue queue, BlockRunner runner, LongSupplier clock) {
    this.queue = queue;
    this.runner = runner;
    this.clock = clock;
  }

  /** Whether the batch should not be queued. */
  boolean suits(RowBatch batch) {
    long nanos = 0;
    for (RowBatch.Segment segment : batch.segments()) {
      long expected = segment.expert().expectedNanos(segment.rows());
      if (expected > MAX_NANOS - nanos) {
        return false;
      }
      nanos += expected;
    }
    return queue.queuedRows() == 0;
  }

  /** Computes the whole batch; its completion is called before this returns. */
  void run(RowBatch batch) {
    int firstRow = 0;
    try (Scratch scratch = new Scratch()) {
      for (RowBatch.Segment segment : batch.segments()) {
        long now = clock.getAsLong();
        Block block = new Block();
        block.start(segment.expert(), now);
        PendingRows.Piece piece = new PendingRows.Piece(batch, firstRow, segment.rows(), now);
        if (batch.isWanted(now)) {
          batch.taken(now);
          block.add(piece);
        } else {
          block.drop(piece);
        }
        runner.run(block, scratch);
        firstRow += segment.rows();
      }
    }
  }
}
