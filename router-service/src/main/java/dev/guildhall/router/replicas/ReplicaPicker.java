package dev.guildhall.router.replicas;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ThreadLocalRandom;

/**
 * Chooses the replicas for one request's rows: for each piece the one with the least rows
 * outstanding, those counted that this request has just given out. Used by one thread.
 */
public final class ReplicaPicker {
  /** More than any replica has outstanding, so that those to avoid come last. */
  private static final long ROWS_TO_AVOID = 1L << 40;

  private final LayerHosts hosts;
  private final List<Replica> chosen = new ArrayList<>();
  private final List<Long> rowsGiven = new ArrayList<>();

  /** Where a search starts, so that equals share the work. */
  private final int start = ThreadLocalRandom.current().nextInt(1 << 16);

  public ReplicaPicker(LayerHosts hosts) {
    this.hosts = hosts;
  }

  /**
   * A host for some rows of an expert, as an index into {@link #chosen()}.
   *
   * @throws dev.guildhall.error.GuildhallException UNAVAILABLE if nobody hosts the expert
   */
  public int choose(int expert, int rows) {
    List<Replica> candidates = hosts.byExpert().get(expert);
    if (candidates.isEmpty()) {
      throw hosts.unavailable();
    }
    int best = numberOf(leastOutstanding(candidates));
    rowsGiven.set(best, rowsGiven.get(best) + rows);
    return best;
  }

  /** The replicas that were given rows so far. */
  public List<Replica> chosen() {
    return chosen;
  }

  private Replica leastOutstanding(List<Replica> candidates) {
    Replica best = candidates.get(start % candidates.size());
    long least = outstanding(best);
    for (int i = 1; i < candidates.size() && least > 0; i++) {
      Replica candidate = candidates.get((start + i) % candidates.size());
      long rows = outstanding(candidate);
      if (rows < least) {
        best = candidate;
        least = rows;
      }
    }
    return best;
  }

  private long outstanding(Replica replica) {
    int number = chosen.indexOf(replica);
    return replica.stream().outstandingRows()
        + (number < 0 ? 0 : rowsGiven.get(number))
        + (replica.isAvoided() ? ROWS_TO_AVOID : 0);
  }

  private int numberOf(Replica replica) {
    int number = chosen.indexOf(replica);
    if (number >= 0) {
      return number;
    }
    chosen.add(replica);
    rowsGiven.add(0L);
    return chosen.size() - 1;
  }
}
