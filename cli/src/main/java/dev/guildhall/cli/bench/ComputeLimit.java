package dev.guildhall.cli.bench;

import dev.guildhall.error.GuildhallException;
import dev.guildhall.expert.batching.BatchCompletion;
import dev.guildhall.expert.batching.ComputePool;
import dev.guildhall.expert.batching.ExpertKey;
import dev.guildhall.expert.batching.ExpertQueue;
import dev.guildhall.expert.batching.RowBatch;
import dev.guildhall.expert.runtime.ExpertRuntime;
import dev.guildhall.expert.runtime.OnnxExpert;
import dev.guildhall.onnx.Device;
import dev.guildhall.onnx.MlpTensors;
import dev.guildhall.repository.ExpertArchitecture;
import dev.guildhall.repository.Layer;
import dev.guildhall.repository.LayerWeights;
import dev.guildhall.router.gate.Routing;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
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

  private final LayerWeights weights;
  private final List<ExpertRuntime> runtimes = new ArrayList<>();
  private final List<ExpertQueue> queues = new ArrayList<>();
  private final ComputePool pool = ComputePool.builder().maxQueuedRows(1 << 24).start();
  private final Arena arena = Arena.ofShared();
  private final int hiddenSize;

  @SuppressWarnings("MustBeClosedChecker") // The arena is closed with this object.
  ComputeLimit(Layer layer) {
    hiddenSize = layer.config().hiddenSize();
    weights = LayerWeights.open(layer);
    for (int expert = 0; expert < layer.config().numExperts(); expert++) {
      ExpertRuntime runtime = runtime(layer, expert);
      runtimes.add(runtime);
      queues.add(pool.host(new ExpertKey(layer.name(), expert), runtime));
    }
  }

  private ExpertRuntime runtime(Layer layer, int expert) {
    return switch (layer.config().expert()) {
      case ExpertArchitecture.Onnx onnx ->
          OnnxExpert.file(LayerWeights.onnxFile(layer, onnx, expert), hiddenSize, Device.CPU);
      case ExpertArchitecture.Mlp mlp -> {
        LayerWeights.Mlp maps = weights.mlp(mlp, expert);
        yield OnnxExpert.mlp(
            new MlpTensors(
                maps.fc1().weight(),
                maps.fc1().bias(),
                maps.fc2().weight(),
                maps.fc2().bias(),
                hiddenSize,
                maps.fc1().outSize(),
                mlp.activation()),
            Device.CPU);
      }
    };
  }

  /** Computes a request's rows again and again, in a closed loop of some concurrency. */
  Load run(Routing routing, int concurrency, long nanos)
      throws InterruptedException, ExecutionException, TimeoutException {
    Loop loop = new Loop(routing.expCounts(), concurrency, nanos);
    loop.start();
    return loop.done.get(TimeUnit.NANOSECONDS.toSeconds(nanos) + GRACE_SECONDS, TimeUnit.SECONDS);
  }

  private final class Loop {
    private final long[] rowCounts;
    private final long startNanos = System.nanoTime();
    private final long endNanos;
    private final Histogram latency = new ConcurrentHistogram(Load.histogram());
    private final CompletableFuture<Load> done = new CompletableFuture<>();
    private final AtomicInteger running;
    private final int concurrency;

    Loop(long[] rowCounts, int concurrency, long nanos) {
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
        long rows = 0;
        for (int expert = 0; expert < rowCounts.length; expert++) {
          if (rowCounts[expert] > 0) {
            segments.add(new RowBatch.Segment(queues.get(expert), (int) rowCounts[expert]));
            rows += rowCounts[expert];
          }
        }
        long bytes = rows * hiddenSize * Float.BYTES;
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
    runtimes.forEach(ExpertRuntime::close);
    weights.close();
    arena.close();
  }
}
