package dev.guildhall.cli.bench;

import dev.guildhall.error.GuildhallException;
import dev.guildhall.expert.LoadedLayer;
import dev.guildhall.expert.batching.BatchCompletion;
import dev.guildhall.expert.batching.ComputePool;
import dev.guildhall.expert.batching.RowBatch;
import dev.guildhall.expert.exchange.HostedVersion;
import dev.guildhall.onnx.Device;
import dev.guildhall.repository.ExpertParallel;
import dev.guildhall.repository.Layer;
import dev.guildhall.repository.LayerVersion;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.SortedMap;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicInteger;
import org.HdrHistogram.ConcurrentHistogram;
import org.HdrHistogram.Histogram;

/**
 * What the experts alone can do: the rows that a request sends to each expert, through the same
 * ONNX sessions on one worker a processor, in this process, without a router or gRPC. Gate, gather
 * and combine are not part of it.
 */
final class ComputeLimit implements AutoCloseable {
  private static final long GRACE_SECONDS = 60;

  private final HostedVersion experts;
  private final ComputePool pool = ComputePool.builder().maxQueuedRows(1 << 24).start();
  private final Arena arena = Arena.ofShared();

  @SuppressWarnings("MustBeClosedChecker") // The arena is closed with this object.
  ComputeLimit(Layer layer) {
    LoadedLayer loaded =
        LoadedLayer.open(layer, LayerVersion.of(layer), ExpertParallel.WHOLE, Device.CPU);
    experts = loaded.hostedBy(pool);
  }

  /**
   * Computes a request's rows again and again, in a closed loop of some concurrency.
   *
   * @param rowCounts rows by expert
   */
  Load run(SortedMap<Integer, Integer> rowCounts, int concurrency, long nanos)
      throws InterruptedException, ExecutionException, TimeoutException {
    Loop loop = new Loop(rowCounts, concurrency, nanos);
    loop.start();
    return loop.done.get(TimeUnit.NANOSECONDS.toSeconds(nanos) + GRACE_SECONDS, TimeUnit.SECONDS);
  }

  private final class Loop {
    private final SortedMap<Integer, Integer> rowCounts;
    private final long startNanos = System.nanoTime();
    private final long endNanos;
    private final Histogram latency = new ConcurrentHistogram(Load.histogram());
    private final CompletableFuture<Load> done = new CompletableFuture<>();
    private final AtomicInteger running;
    private final int concurrency;

    Loop(SortedMap<Integer, Integer> rowCounts, int concurrency, long nanos) {
      this.rowCounts = rowCounts;
      this.concurrency = concurrency;
      this.endNanos = startNanos + nanos;
      this.running = new AtomicInteger(concurrency);
    }

    void start() {
      for (int i = 0; i < concurrency; i++) {
        new Caller().submit();
      }
    }

    private final class Caller implements BatchCompletion {
      private final List<RowBatch.Segment> segments = new ArrayList<>();
      private final MemorySegment in;
      private final MemorySegment out;
      private long sentNanos;

      Caller() {
        rowCounts.forEach(
            (expert, rows) -> segments.add(new RowBatch.Segment(experts.expert(expert), rows)));
        long rows = rowCounts.values().stream().mapToLong(Integer::longValue).sum();
        long bytes = rows * experts.hiddenSize() * Float.BYTES;
        in = arena.allocate(bytes, Long.BYTES);
        out = arena.allocate(bytes, Long.BYTES);
      }

      void submit() {
        sentNanos = System.nanoTime();
        pool.submit(new RowBatch(segments, in, out, RowBatch.NO_DEADLINE, this));
      }

      @Override
      public void succeeded() {
        long now = System.nanoTime();
        latency.recordValue(now - sentNanos);
        if (now < endNanos) {
          submit();
        } else if (running.decrementAndGet() == 0) {
          done.complete(new Load(latency.getTotalCount(), now - startNanos, latency.copy()));
        }
      }

      @Override
      public void failed(GuildhallException failure) {
        done.completeExceptionally(failure);
      }
    }
  }

  @Override
  public void close() {
    pool.close();
    experts.uses().release();
    arena.close();
  }
}
