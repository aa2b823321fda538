package dev.guildhall.router.dispatch;

/** Says which host computes a run of rows of one expert. */
@FunctionalInterface
public interface HostChoice {

  /**
   * Asked once for every piece that an expert's rows are cut into, so that it may spread a busy
   * expert over several hosts.
   *
   * @param expert 0 to E-1, or E for the residual MLP
   * @param rows rows of the piece
   * @return the host's number
   */
  int choose(int expert, int rows);
}
