package dev.guildhall.expert.batching;

/**
 * How many rows of one expert a worker takes at once: its fair share of all that is queued, within
 * bounds.
 *
 * <p>The share is taken of the whole queue, not of the one expert: while other experts keep the
 * workers busy, cutting one up only reads its weights more often. An expert that is alone with its
 * rows is cut so that every worker gets some, and the pieces get smaller towards the end, so that
 * workers finish together.
 *
 * @param min below this a run gets less out of a processor, since reading the weights counts. 64
 *     rows of a 512/2048 MLP took two workers 1.78 ms in blocks of 32, 1.95 in blocks of 16, 2.55
 *     in blocks of 8, and one worker 3.43 ms uncut
 * @param max bounds the memory a worker needs to merge rows, and how long other experts wait
 */
record BlockSize(int min, int max) {
  static final BlockSize DEFAULT = new BlockSize(32, 512);

  BlockSize {
    if (min < 1 || max < min) {
      throw new IllegalArgumentException("block of " + min + " to " + max + " rows");
    }
  }

  /**
   * Rows to take.
   *
   * @param expertRows rows that wait for the expert at hand
   * @param allRows rows that wait for any expert, these included
   */
  int rows(long expertRows, long allRows, int workers) {
    long share = Math.clamp((allRows + workers - 1) / workers, min, max);
    // A small rest is not worth another reading of the weights.
    long rows = expertRows - share < min / 2 ? expertRows : share;
    return (int) Math.min(rows, max);
  }
}
