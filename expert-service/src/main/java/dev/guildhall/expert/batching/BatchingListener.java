package dev.guildhall.expert.batching;

/** Hears of each block of rows that an expert has computed; metrics are bound to it. */
@FunctionalInterface
public interface BatchingListener {
  BatchingListener NONE = block -> {};

  /**
   * Called by the worker that computed the block, before its batches hear of it. Must not block.
   */
  void computed(ComputedBlock block);

  /**
   * One run of one expert.
   *
   * @param batches how many batches the rows came from
   * @param queueNanos how long the rows that had waited longest had waited
   * @param computeNanos time in the expert; gathering and scattering included
   */
  record ComputedBlock(
      ExpertKey expert, int rows, int batches, long queueNanos, long computeNanos) {}
}
