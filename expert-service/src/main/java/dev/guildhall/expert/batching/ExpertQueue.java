package dev.guildhall.expert.batching;

import dev.guildhall.expert.batching.PendingRows.Piece;
import dev.guildhall.expert.runtime.ExpertRuntime;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;

/**
 * The rows that wait for one expert, first come first served; made by {@link ComputePool#host}. Its
 * rows are guarded by the pool's lock.
 */
public final class ExpertQueue {
  /** Up to here reading the weights takes most of the time, however many rows there are. */
  private static final int SMALL_BLOCK_ROWS = 4;

  private final ExpertKey key;
  private final ExpertRuntime runtime;
  private final WorkQueue owner;
  private final long rowBytes;
  private final Deque<PendingRows> pending = new ArrayDeque<>();
  private long rows;

  /** Of the last small block; unknown until there was one. Written by workers, without a lock. */
  private volatile long smallBlockNanos = Long.MAX_VALUE;

  ExpertQueue(ExpertKey key, ExpertRuntime runtime, WorkQueue owner) {
    this.key = key;
    this.runtime = runtime;
    this.owner = owner;
    this.rowBytes = (long) runtime.hiddenSize() * Float.BYTES;
  }

  public ExpertKey key() {
    return key;
  }

  /** H, the width of a row. */
  public int hiddenSize() {
    return runtime.hiddenSize();
  }

  ExpertRuntime runtime() {
    return runtime;
  }

  boolean isOwnedBy(WorkQueue queue) {
    return owner == queue;
  }

  /** Notes how long a block took. */
  void ran(int blockRows, long nanos) {
    if (blockRows <= SMALL_BLOCK_ROWS) {
      smallBlockNanos = nanos;
    }
  }

  /** How long a block may take, by the last one of its size; very long if that is not known. */
  long expectedNanos(int blockRows) {
    return blockRows <= SMALL_BLOCK_ROWS ? smallBlockNanos : Long.MAX_VALUE;
  }

  long rowBytes() {
    return rowBytes;
  }

  long rows() {
    return rows;
  }

  /** When the rows that have waited longest were queued; there must be some. */
  long oldestNanos() {
    return pending.getFirst().queuedNanos();
  }

  /** Adds rows; true if none were waiting before. */
  boolean add(PendingRows added) {
    boolean wasEmpty = pending.isEmpty();
    pending.addLast(added);
    rows += added.rows();
    return wasEmpty;
  }

  /**
   * Moves up to {@code limit} rows into the block, oldest first, and rows that nobody wants any
   * more into the block's list of dropped ones.
   */
  void take(int limit, long nowNanos, Block block) {
    int room = limit;
    for (PendingRows head = pending.peekFirst(); head != null; head = pending.peekFirst()) {
      boolean wanted = head.batch().isWanted(nowNanos);
      if (wanted && room == 0) {
        return;
      }
      int count = wanted ? Math.min(room, head.rows()) : head.rows();
      Piece piece = head.take(count);
      rows -= count;
      if (wanted) {
        head.batch().taken(nowNanos);
        block.add(piece);
        room -= count;
      } else {
        block.drop(piece);
      }
      if (head.rows() == 0) {
        pending.removeFirst();
      }
    }
  }

  /** Gives up everything that waits. */
  void takeAll(List<Piece> left) {
    for (PendingRows waiting : pending) {
      left.add(waiting.take(waiting.rows()));
    }
    pending.clear();
    rows = 0;
  }
}
