package dev.guildhall.expert.batching;

import dev.guildhall.error.GuildhallException;

/**
 * Hears of a batch's end: exactly one call of one of the two methods, once no worker will touch the
 * batch's memory again.
 *
 * <p>Called by the worker that finishes the batch's last rows, or by the thread that submits a
 * batch without rows or closes the pool. It must not block.
 */
public interface BatchCompletion {

  /** Every row of the output is written. */
  void succeeded();

  /**
   * Some rows were not computed.
   *
   * @param failure DEADLINE_EXCEEDED, CANCELLED, UNAVAILABLE if the pool was closed, or what the
   *     expert failed with: INTERNAL for anything that is not a {@link GuildhallException}
   */
  void failed(GuildhallException failure);
}
