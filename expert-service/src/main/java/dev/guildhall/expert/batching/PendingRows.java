package dev.guildhall.expert.batching;

import java.lang.foreign.MemorySegment;

/**
 * What is left of one segment of a batch: rows from {@code firstRow} of the batch's memory on.
 * Guarded by the lock of the queue that holds it.
 */
final class PendingRows {
  private final RowBatch batch;
  private final long queuedNanos;
  private int firstRow;
  private int rows;

  PendingRows(RowBatch batch, int firstRow, int rows, long queuedNanos) {
    this.batch = batch;
    this.firstRow = firstRow;
    this.rows = rows;
    this.queuedNanos = queuedNanos;
  }

  RowBatch batch() {
    return batch;
  }

  int rows() {
    return rows;
  }

  long queuedNanos() {
    return queuedNanos;
  }

  Piece take(int count) {
    Piece piece = new Piece(batch, firstRow, count, queuedNanos);
    firstRow += count;
    rows -= count;
    return piece;
  }

  /** Rows of one batch within a block. */
  record Piece(RowBatch batch, int firstRow, int rows, long queuedNanos) {
    MemorySegment in(long rowBytes) {
      return batch.in().asSlice(firstRow * rowBytes, rows * rowBytes);
    }

    MemorySegment out(long rowBytes) {
      return batch.out().asSlice(firstRow * rowBytes, rows * rowBytes);
    }
  }
}
