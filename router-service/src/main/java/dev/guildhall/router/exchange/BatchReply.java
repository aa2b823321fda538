package dev.guildhall.router.exchange;

import dev.guildhall.error.GuildhallException;
import io.netty.buffer.ByteBuf;

/**
 * Hears how one batch ended: exactly one of its methods is called, once, on the thread that brought
 * the news (an event loop as a rule), which must not be blocked.
 */
public interface BatchReply {
  /**
   * The batch is done.
   *
   * @param rows [rows, H] in the batch's order; ownership is transferred
   * @param times at the replica
   */
  void succeeded(ByteBuf rows, ReplicaTimes times);

  /** The batch has no answer. */
  void failed(GuildhallException failure);
}
