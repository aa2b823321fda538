package dev.guildhall.router.dispatch;

import dev.guildhall.router.dispatch.BatchPacker.Run;
import dev.guildhall.router.gate.Routing;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * Turns routes into batches, as DeepSpeed's dispatch einsum and all-to-all do, but without padding:
 * a dropped route has no row, an expert without routes gets nothing.
 */
public final class Dispatch {
  private Dispatch() {}

  /**
   * Plans the batches of one request: one a host, or as many as {@code maxRowsPerBatch} makes
   * necessary.
   *
   * @param dense whether all tokens go to the dense expert too, as expert E
   * @param maxRowsPerBatch from 1
   */
  public static DispatchPlan plan(
      Routing routing, boolean dense, int maxRowsPerBatch, HostChoice hosts) {
    if (maxRowsPerBatch < 1) {
      throw new IllegalArgumentException(
          "maxRowsPerBatch is " + maxRowsPerBatch + "; allowed is from 1");
    }
    RowGroups groups = RowGroups.of(routing, dense);
    BatchPacker packer = new BatchPacker(maxRowsPerBatch);
    for (int expert = 0; expert < groups.groups(); expert++) {
      cut(expert, groups, maxRowsPerBatch, hosts, packer);
    }
    return number(routing, dense, groups, packer.batches());
  }

  /** Cuts an expert's rows into pieces of equal size, rather than full ones and a small rest. */
  private static void cut(
      int expert, RowGroups groups, int maxRows, HostChoice hosts, BatchPacker packer) {
    int rows = groups.rows(expert);
    int pieces = Math.ceilDiv(rows, maxRows);
    int from = 0;
    for (int piece = 1; piece <= pieces; piece++) {
      int to = (int) ((long) rows * piece / pieces);
      int host = hosts.choose(expert, to - from);
      packer.add(host, new Run(expert, groups.start()[expert] + from, to - from));
      from = to;
    }
  }

  private static DispatchPlan number(
      Routing routing, boolean dense, RowGroups groups, List<BatchPacker.Open> packed) {
    int tokens = routing.tokens();
    int[] rowOfTerm = new int[(routing.k() + (dense ? 1 : 0)) * tokens];
    Arrays.fill(rowOfTerm, DispatchPlan.NO_ROW);
    int[] tokenOfRow = new int[groups.termOfRow().length];
    List<Batch> batches = new ArrayList<>(packed.size());
    int row = 0;
    for (BatchPacker.Open batch : packed) {
      batches.add(batch.at(row));
      for (Run run : batch.runs()) {
        for (int i = run.from(); i < run.from() + run.rows(); i++) {
          int term = groups.termOfRow()[i];
          tokenOfRow[row] = term % tokens;
          rowOfTerm[term] = row++;
        }
      }
    }
    int routes = routing.k() * tokens;
    return new DispatchPlan(
        tokens,
        routing.k(),
        batches,
        tokenOfRow,
        Arrays.copyOf(rowOfTerm, routes),
        Arrays.copyOfRange(rowOfTerm, routes, rowOfTerm.length));
  }
}
