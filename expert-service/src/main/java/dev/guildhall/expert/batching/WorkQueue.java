package dev.guildhall.expert.batching;

import dev.guildhall.error.ErrorCode;
import dev.guildhall.error.GuildhallException;
import dev.guildhall.expert.batching.PendingRows.Piece;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.LongSupplier;

/**
 * Every row that waits, by expert, and the experts that have some, first come first served: an
 * expert that still has rows after a worker took a block goes to the tail.
 *
 * <p>One lock for all of it, held for the time it takes to move a few references, about a
 * microsecond for what computes in a hundred or more. Callbacks and compute happen outside it.
 */
final class WorkQueue {
  private final ReentrantLock lock = new ReentrantLock();
  private final Condition work = lock.newCondition();
  private final Deque<ExpertQueue> ready = new ArrayDeque<>();
  private final BlockSize blockSize;
  private final int workers;
  private final int maxRows;
  private final long maxBytes;
  private final LongSupplier clock;
  private int queuedRows;
  private long queuedBytes;
  private int idleWorkers;
  private boolean closed;

  WorkQueue(BlockSize blockSize, int workers, int maxRows, long maxBytes, LongSupplier clock) {
    this.blockSize = blockSize;
    this.workers = workers;
    this.maxRows = maxRows;
    this.maxBytes = maxBytes;
    this.clock = clock;
  }

  int queuedRows() {
    lock.lock();
    try {
      return queuedRows;
    } finally {
      lock.unlock();
    }
  }

  long queuedBytes() {
    lock.lock();
    try {
      return queuedBytes;
    } finally {
      lock.unlock();
    }
  }

  void submit(RowBatch batch) {
    long now = clock.getAsLong();
    lock.lock();
    try {
      admit(batch, now);
      int firstRow = 0;
      for (RowBatch.Segment segment : batch.segments()) {
        PendingRows rows = new PendingRows(batch, firstRow, segment.rows(), now);
        if (segment.expert().add(rows)) {
          ready.addLast(segment.expert());
          wakeOne();
        }
        firstRow += segment.rows();
      }
      queuedRows += batch.rows();
      queuedBytes += batch.bytes();
    } finally {
      lock.unlock();
    }
  }

  private void admit(RowBatch batch, long now) {
    if (closed) {
      throw closing();
    }
    if (batch.rows() > maxRows) {
      throw GuildhallException.invalidArgument(
          "batch of %d rows; a batch may have as many as the queue, %d"
              .formatted(batch.rows(), maxRows));
    }
    if (queuedRows > maxRows - batch.rows()) {
      throw new GuildhallException(
          ErrorCode.RESOURCE_EXHAUSTED,
          "%d rows are queued and %d more were sent; the limit is %d"
              .formatted(queuedRows, batch.rows(), maxRows));
    }
    if (queuedBytes > 0 && queuedBytes > maxBytes - batch.bytes()) {
      throw new GuildhallException(
          ErrorCode.RESOURCE_EXHAUSTED,
          "%d bytes are queued and %d more were sent; the limit is %d"
              .formatted(queuedBytes, batch.bytes(), maxBytes));
    }
    refuseWhatWouldBeLate(batch, now);
    for (RowBatch.Segment segment : batch.segments()) {
      if (!segment.expert().isOwnedBy(this)) {
        throw new IllegalArgumentException(
            "expert " + segment.expert().key() + " is hosted by another pool");
      }
    }
    batch.markSubmitted(now);
  }

  /**
   * A batch waits about as long as the rows before it have. One that would spend most of its time
   * so is refused while there is time to ask elsewhere; computing it late would make the ones
   * behind it late too, until nothing is in time.
   */
  private void refuseWhatWouldBeLate(RowBatch batch, long now) {
    if (ready.isEmpty()) {
      return;
    }
    long waited = now - ready.getFirst().oldestNanos();
    long left = batch.nanosLeft(now);
    if (left > 0 && waited > left / 2) {
      throw new GuildhallException(
          ErrorCode.RESOURCE_EXHAUSTED,
          "queued rows have waited %d ms; the limit is half of the batch's time, %d ms"
              .formatted(
                  TimeUnit.NANOSECONDS.toMillis(waited), TimeUnit.NANOSECONDS.toMillis(left / 2)));
    }
  }

  /**
   * Waits for rows and takes a block of them.
   *
   * @return false if the queue is closed
   */
  boolean take(Block block) {
    lock.lock();
    try {
      while (ready.isEmpty() && !closed) {
        idleWorkers++;
        work.awaitUninterruptibly();
        idleWorkers--;
      }
      if (closed) {
        return false;
      }
      takeFrom(ready.removeFirst(), block);
      return true;
    } finally {
      lock.unlock();
    }
  }

  private void takeFrom(ExpertQueue expert, Block block) {
    long now = clock.getAsLong();
    block.start(expert, now);
    long before = expert.rows();
    expert.take(blockSize.rows(before, queuedRows, workers), now, block);
    long taken = before - expert.rows();
    queuedRows -= (int) taken;
    queuedBytes -= taken * RowBatch.BYTES_BOTH_WAYS * expert.hiddenSize();
    if (expert.rows() > 0) {
      ready.addLast(expert);
      // Submitting woke one worker for this expert; the rest of it is for another.
      wakeOne();
    }
  }

  private void wakeOne() {
    if (idleWorkers > 0) {
      work.signal();
    }
  }

  /** Lets workers go and takes everything that is queued, for the caller to account for. */
  List<Piece> close() {
    List<Piece> left = new ArrayList<>();
    lock.lock();
    try {
      closed = true;
      ready.forEach(expert -> expert.takeAll(left));
      ready.clear();
      queuedRows = 0;
      queuedBytes = 0;
      work.signalAll();
      return left;
    } finally {
      lock.unlock();
    }
  }

  static GuildhallException closing() {
    return new GuildhallException(ErrorCode.UNAVAILABLE, "the expert service is shutting down");
  }
}
