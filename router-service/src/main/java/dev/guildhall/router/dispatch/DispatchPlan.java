package dev.guildhall.router.dispatch;

import java.util.List;

/**
 * Where the rows of one request go and where they come from. The arrays are shared, to be read
 * only; {@link #NO_ROW} stands where a route was dropped.
 *
 * @param tokens number of tokens
 * @param k choices a token has
 * @param batches their rows are numbered through, without gaps
 * @param tokenOfRow [rows] the token whose hidden state is the row
 * @param rowOfRoute [k, tokens] row-major: the row that computes choice j of token t
 * @param rowOfDense [tokens] the row that the dense expert computes; [0] without one
 */
public record DispatchPlan(
    int tokens, int k, List<Batch> batches, int[] tokenOfRow, int[] rowOfRoute, int[] rowOfDense) {

  /** In {@link #rowOfRoute}: the choice has no route. */
  public static final int NO_ROW = -1;

  public DispatchPlan {
    batches = List.copyOf(batches);
  }

  /** Number of rows in all batches. */
  public int rows() {
    return tokenOfRow.length;
  }

  /**
   * The plan without the rows of some batches, whose routes have {@link #NO_ROW} then. The batches
   * stay, so that rows keep their numbers.
   *
   * @param lost [batches]
   */
  public DispatchPlan without(boolean[] lost) {
    int[] rowOfRoute = this.rowOfRoute.clone();
    for (int route = 0; route < rowOfRoute.length; route++) {
      if (rowOfRoute[route] != NO_ROW && lost[batchOfRow(rowOfRoute[route])]) {
        rowOfRoute[route] = NO_ROW;
      }
    }
    return new DispatchPlan(tokens, k, batches, tokenOfRow, rowOfRoute, rowOfDense);
  }

  /** Index of the batch that holds a row. */
  public int batchOfRow(int row) {
    int low = 0;
    int high = batches.size() - 1;
    while (low < high) {
      int middle = (low + high + 1) >>> 1;
      if (batches.get(middle).firstRow() <= row) {
        low = middle;
      } else {
        high = middle - 1;
      }
    }
    return low;
  }
}
