package dev.guildhall.expert.batching;

import dev.guildhall.error.GuildhallException;
import dev.guildhall.expert.batching.PendingRows.Piece;
import dev.guildhall.expert.runtime.ExpertRuntime;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.function.LongSupplier;
import java.util.stream.IntStream;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The threads that compute experts, and the rows that wait for them.
 *
 * <p>A worker that is free takes what is there, without waiting for more: a block of rows of the
 * expert that has waited longest, merged from several batches if they wait together, cut off a
 * batch that has more than its share. Rows of one batch and expert that make a block by themselves
 * are computed in the batch's own memory.
 *
 * <p>{@link #submit} never blocks and may be called from an event loop; experts and completions run
 * on the workers, daemon threads named {@code expert-worker-N}.
 */
public final class ComputePool implements AutoCloseable {
  private static final Logger log = LoggerFactory.getLogger(ComputePool.class);

  private final WorkQueue queue;
  private final InlineCompute inline;
  private final List<Thread> threads;
  private final Duration closeTimeout;

  private ComputePool(Builder builder) {
    BlockRunner runner = new BlockRunner(builder.listener, builder.clock);
    queue =
        new WorkQueue(
            builder.blockSize,
            builder.workers,
            builder.maxQueuedRows,
            builder.maxQueuedBytes,
            builder.clock);
    inline = new InlineCompute(queue, runner, builder.clock);
    closeTimeout = builder.closeTimeout;
    threads =
        IntStream.range(0, builder.workers)
            .mapToObj(i ->
                Thread.ofPlatform()
                    .daemon()
                    .name("expert-worker-" + i)
                    .start(new Worker(queue, runner)))
            .toList();
  }

  public static Builder builder() {
    return new Builder();
  }

  /**
   * Gives an expert its queue. The expert stays the caller's, to be closed after this pool or when
   * none of its rows are queued any more.
   */
  public ExpertQueue host(ExpertKey key, ExpertRuntime runtime) {
    return new ExpertQueue(key, runtime, queue);
  }

  /**
   * Queues a batch. If this throws, the batch's completion is not called and its memory is the
   * caller's again.
   *
   * @throws GuildhallException RESOURCE_EXHAUSTED if the queue has no room for its rows now;
   *     INVALID_ARGUMENT if it never will; UNAVAILABLE if this is closed
   */
  public void submit(RowBatch batch) {
    queue.submit(batch);
    if (batch.rows() == 0) {
      batch.complete();
    }
  }

  /**
   * Computes a batch here and now if that is quicker than queueing it, and queues it otherwise. The
   * completion may be called on this thread, before this returns, which is soon (within some 50 us)
   * either way.
   *
   * @throws GuildhallException as {@link #submit} does
   */
  public void computeOrSubmit(RowBatch batch) {
    if (inline.suits(batch)) {
      inline.run(batch);
    } else {
      submit(batch);
    }
  }

  /** Rows that wait for a worker. */
  public int queuedRows() {
    return queue.queuedRows();
  }

  /** What they and the room for their results occupy. */
  public long queuedBytes() {
    return queue.queuedBytes();
  }

  public int workers() {
    return threads.size();
  }

  /**
   * Stops: what runs is finished, batches with rows in the queue fail with UNAVAILABLE. Waits for
   * the workers, though no longer than the close timeout; one that is still computing then ends
   * after its block, and its batch's memory is in use until the batch's completion is called.
   */
  @Override
  public void close() {
    List<Piece> left = queue.close();
    for (Piece piece : left) {
      piece.batch().fail(WorkQueue.closing());
    }
    BlockRunner.finish(left);
    if (!join()) {
      log.warn("experts still compute {} after the pool was closed", closeTimeout);
    }
  }

  private boolean join() {
    long end = System.nanoTime() + closeTimeout.toNanos();
    try {
      for (Thread thread : threads) {
        long left = Math.max(1, TimeUnit.NANOSECONDS.toMillis(end - System.nanoTime()));
        if (!thread.join(Duration.ofMillis(left))) {
          return false;
        }
      }
      return true;
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      return false;
    }
  }

  /** What a pool is made with; each setting has a default. */
  public static final class Builder {
    private int workers = Runtime.getRuntime().availableProcessors();
    private int maxQueuedRows = 16_384;
    private long maxQueuedBytes = 1L << 30;
    private Duration closeTimeout = Duration.ofSeconds(10);
    private LongSupplier clock = System::nanoTime;
    private BatchingListener listener = BatchingListener.NONE;
    private BlockSize blockSize = BlockSize.DEFAULT;

    private Builder() {}

    /** Threads that compute; by default one a processor. */
    public Builder workers(int count) {
      check(count >= 1, "workers", count);
      workers = count;
      return this;
    }

    /** Rows that may wait for a worker; by default 16,384. */
    public Builder maxQueuedRows(int rows) {
      check(rows >= 1, "queued rows", rows);
      maxQueuedRows = rows;
      return this;
    }

    /** What waiting rows and the room for their results may occupy; by default 1 GiB. */
    public Builder maxQueuedBytes(long bytes) {
      check(bytes >= 1, "queued bytes", bytes);
      maxQueuedBytes = bytes;
      return this;
    }

    /** How long closing waits for experts that run; by default 10 s. */
    public Builder closeTimeout(Duration timeout) {
      closeTimeout = timeout;
      return this;
    }

    /**
     * Nanoseconds from some fixed point; what deadlines are on. {@link System#nanoTime} if unset.
     */
    public Builder clock(LongSupplier nanoClock) {
      clock = nanoClock;
      return this;
    }

    public Builder listener(BatchingListener hearsOfBlocks) {
      listener = hearsOfBlocks;
      return this;
    }

    /**
     * Rows that a worker takes at once; by default 32 to 512.
     *
     * @param max also bounds each worker's memory for merging: 2 · max · H · 4 bytes
     */
    public Builder blockRows(int min, int max) {
      check(min >= 1, "smallest block", min);
      check(max >= min, "largest block", max);
      blockSize = new BlockSize(min, max);
      return this;
    }

    /** Starts the workers. */
    public ComputePool start() {
      return new ComputePool(this);
    }

    private static void check(boolean right, String name, long value) {
      if (!right) {
        throw GuildhallException.invalidArgument(name + " " + value + " is too small");
      }
    }
  }
}
