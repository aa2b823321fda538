package dev.guildhall.expert.batching;

import dev.guildhall.error.ErrorCode;
import dev.guildhall.error.GuildhallException;
import dev.guildhall.expert.batching.BatchingListener.ComputedBlock;
import dev.guildhall.expert.batching.PendingRows.Piece;
import dev.guildhall.expert.runtime.ExpertRuntime;
import java.lang.foreign.MemorySegment;
import java.util.List;
import java.util.function.LongSupplier;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** A compute thread's duty: take a block, run its expert, account for the rows; until closed. */
final class Worker implements Runnable {
  private static final Logger log = LoggerFactory.getLogger(Worker.class);

  private final WorkQueue queue;
  private final BatchingListener listener;
  private final LongSupplier clock;
  private final Block block = new Block();

  Worker(WorkQueue queue, BatchingListener listener, LongSupplier clock) {
    this.queue = queue;
    this.listener = listener;
    this.clock = clock;
  }

  @Override
  public void run() {
    try (Scratch scratch = new Scratch()) {
      while (queue.take(block)) {
        if (!block.pieces().isEmpty()) {
          compute(scratch);
        }
        finish(block.pieces());
        finish(block.dropped());
        block.clear();
      }
    }
  }

  static void finish(List<Piece> pieces) {
    for (Piece piece : pieces) {
      piece.batch().finish(piece.rows());
    }
  }

  private void compute(Scratch scratch) {
    try {
      runExpert(scratch);
    } catch (Throwable e) {
      // Errors too: whatever an expert does, only the batches in this block suffer.
      GuildhallException failure = failureOf(e);
      for (Piece piece : block.pieces()) {
        piece.batch().fail(failure);
      }
      return;
    }
    report();
  }

  private GuildhallException failureOf(Throwable e) {
    return e instanceof GuildhallException told
        ? told
        : new GuildhallException(
            ErrorCode.INTERNAL, "expert %s failed: %s".formatted(block.expert().key(), e), e);
  }

  private void report() {
    try {
      listener.computed(
          new ComputedBlock(
              block.expert().key(),
              block.rows(),
              block.pieces().size(),
              block.queueNanos(),
              clock.getAsLong() - block.takenNanos()));
    } catch (Throwable e) {
      log.error("a batching listener failed", e);
    }
  }

  private void runExpert(Scratch scratch) {
    ExpertRuntime runtime = block.expert().runtime();
    long rowBytes = block.expert().rowBytes();
    List<Piece> pieces = block.pieces();
    if (pieces.size() == 1) {
      Piece alone = pieces.getFirst();
      runtime.run(alone.in(rowBytes), alone.rows(), alone.out(rowBytes));
      return;
    }
    MemorySegment in = scratch.in(block.rows() * rowBytes);
    MemorySegment out = scratch.out(block.rows() * rowBytes);
    long offset = 0;
    for (Piece piece : pieces) {
      MemorySegment rows = piece.in(rowBytes);
      MemorySegment.copy(rows, 0, in, offset, rows.byteSize());
      offset += rows.byteSize();
    }
    runtime.run(in, block.rows(), out);
    offset = 0;
    for (Piece piece : pieces) {
      MemorySegment rows = piece.out(rowBytes);
      MemorySegment.copy(out, offset, rows, 0, rows.byteSize());
      offset += rows.byteSize();
    }
  }
}
