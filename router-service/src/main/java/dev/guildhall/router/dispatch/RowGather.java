package dev.guildhall.router.dispatch;

import java.lang.foreign.MemorySegment;

/** Copies the rows of a batch out of a request's hidden states. */
public final class RowGather {
  private RowGather() {}

  /**
   * Gathers one batch.
   *
   * @param hiddenStates [tokens, H] of any element type
   * @param rowBytes bytes of one row
   * @param destination [batch.rows, H]
   */
  public static void gather(
      DispatchPlan plan,
      Batch batch,
      MemorySegment hiddenStates,
      long rowBytes,
      MemorySegment destination) {
    int[] tokenOfRow = plan.tokenOfRow();
    int end = batch.firstRow() + batch.rows();
    int row = batch.firstRow();
    while (row < end) {
      int token = tokenOfRow[row];
      int run = 1;
      // The residual MLP's rows, and all of a small request's, lie side by side already.
      while (row + run < end && tokenOfRow[row + run] == token + run) {
        run++;
      }
      MemorySegment.copy(
          hiddenStates,
          token * rowBytes,
          destination,
          (row - batch.firstRow()) * rowBytes,
          run * rowBytes);
      row += run;
    }
  }
}
