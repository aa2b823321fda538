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

/**
 * Runs the experts of blocks and accounts for their rows. Any number of threads may use one, each
 * with a block and scratch of its own.
 */
final class BlockRunner {
  private static final Logger log = LoggerFactory.getLogger(BlockRunner.class);

  private final BatchingListener listener;
  private final LongSupplier clock;

  BlockRunner(BatchingListener listener, LongSupplier clock) {
    this.listener = listener;
    this.clock = clock;
  }

  /** Computes what the block holds; its batches hear of it. */
  void run(Block block, Scratch scratch) {
    if (!block.pieces().isEmpty()) {
      compute(block, scratch);
    }
    finish(block.pieces());
    finish(block.dropped());
    block.clear();
  }

  static void finish(List<Piece> pieces) {
    for (Piece piece : pieces) {
      piece.batch().finish(piece.rows());
    }
  }

  private void compute(Block block, Scratch scratch) {
    try {
      runExpert(block, scratch);
    } catch (Throwable e) {
      // Errors too: whatever an expert does, only the batches in this block suffer.
      GuildhallException failure = failureOf(block, e);
      for (Piece piece : block.pieces()) {
        piece.batch().fail(failure);
      }
      return;
    }
    long now = clock.getAsLong();
    long computeNanos = now - block.takenNanos();
    for (Piece piece : block.pieces()) {
      piece.batch().worked(computeNanos * piece.rows() / block.rows(), now);
    }
    report(block, computeNanos);
  }

  private static GuildhallException failureOf(Block block, Throwable e) {
    return e instanceof GuildhallException told
        ? told
        : new GuildhallException(
            ErrorCode.INTERNAL, "expert %s failed: %s".formatted(block.expert().key(), e), e);
  }

  private void report(Block block, long computeNanos) {
    try {
      block.expert().ran(block.rows(), computeNanos);
      listener.computed(
          new ComputedBlock(
              block.expert().key(),
              block.rows(),
              block.pieces().size(),
              block.queueNanos(),
              computeNanos));
    } catch (Throwable e) {
      log.error("a batching listener failed", e);
    }
  }

  private static void runExpert(Block block, Scratch scratch) {
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
