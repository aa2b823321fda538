package dev.guildhall.router.dispatch;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * Puts runs of rows into batches: one open batch a host, closed when it is full. Confined to one
 * {@link Dispatch#plan}.
 */
final class BatchPacker {
  private final int maxRows;
  private final List<Open> batches = new ArrayList<>();
  private final Map<Integer, Open> openOfHost = new HashMap<>();

  BatchPacker(int maxRows) {
    this.maxRows = maxRows;
  }

  /** A run of rows of one expert: {@code from} counts in the order of {@link RowGroups}. */
  record Run(int expert, int from, int rows) {}

  /** A batch that may still grow. */
  static final class Open {
    private final int host;
    private final List<Run> runs = new ArrayList<>();
    private int rows;

    private Open(int host) {
      this.host = host;
    }

    List<Run> runs() {
      return runs;
    }

    private void add(Run run) {
      runs.add(run);
      rows += run.rows();
    }

    /** The finished batch. An expert's pieces were added in a row: neighbours become one. */
    Batch at(int firstRow) {
      int[] experts = new int[runs.size()];
      int[] rowCounts = new int[runs.size()];
      int last = -1;
      for (Run run : runs) {
        if (last < 0 || experts[last] != run.expert()) {
          experts[++last] = run.expert();
        }
        rowCounts[last] += run.rows();
      }
      return new Batch(
          host,
          Arrays.copyOf(experts, last + 1),
          Arrays.copyOf(rowCounts, last + 1),
          firstRow,
          rows);
    }
  }

  /**
   * Adds a run, cutting it where a batch is full, so that a host gets no more batches than needed.
   */
  void add(int host, Run run) {
    int done = 0;
    while (done < run.rows()) {
      Open batch = openOfHost.get(host);
      if (batch == null || batch.rows == maxRows) {
        batch = new Open(host);
        batches.add(batch);
        openOfHost.put(host, batch);
      }
      int rows = Math.min(run.rows() - done, maxRows - batch.rows);
      batch.add(new Run(run.expert(), run.from() + done, rows));
      done += rows;
    }
  }

  List<Open> batches() {
    return batches;
  }
}
