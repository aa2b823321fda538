package dev.guildhall.expert;

import dev.guildhall.error.ErrorCode;
import dev.guildhall.error.GuildhallException;
import dev.guildhall.expert.batching.ComputePool;
import dev.guildhall.expert.batching.ExpertKey;
import dev.guildhall.expert.batching.ExpertQueue;
import dev.guildhall.expert.exchange.HostedVersion;
import dev.guildhall.expert.runtime.ExpertRuntime;
import dev.guildhall.expert.runtime.OnnxExpert;
import dev.guildhall.onnx.Device;
import dev.guildhall.repository.ExpertArchitecture;
import dev.guildhall.repository.ExpertParallel;
import dev.guildhall.repository.Layer;
import dev.guildhall.repository.LayerConfig;
import dev.guildhall.repository.LayerVersion;
import dev.guildhall.repository.LayerWeights;
import dev.guildhall.repository.Uses;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentSkipListMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.function.IntFunction;

/** The experts of one layer that a replica hosts: weights mapped, sessions made. */
public final class LoadedLayer implements AutoCloseable {
  /** Half of the machine: a layer may be loaded while others are served. */
  private static final int LOADING_THREADS =
      Math.max(1, Runtime.getRuntime().availableProcessors() / 2);

  private final Layer layer;
  private final LayerVersion version;
  private final SortedMap<Integer, ExpertRuntime> experts = new ConcurrentSkipListMap<>();
  private Optional<LayerWeights> weights = Optional.empty();

  private LoadedLayer(Layer layer, LayerVersion version) {
    this.layer = layer;
    this.version = version;
  }

  /**
   * Loads a slice of a layer's experts.
   *
   * @throws dev.guildhall.error.GuildhallException for a tensor or a device that is not right
   */
  public static LoadedLayer open(
      Layer layer, LayerVersion version, ExpertParallel slice, Device device) {
    LoadedLayer loaded = new LoadedLayer(layer, version);
    try {
      loaded.load(slice.experts(layer), device);
      return loaded;
    } catch (RuntimeException | Error e) {
      loaded.close();
      throw e;
    }
  }

  private void load(int[] numbers, Device device) {
    IntFunction<ExpertRuntime> opener = opener(device);
    try (ExecutorService threads =
        Executors.newFixedThreadPool(
            LOADING_THREADS, Thread.ofPlatform().name("guildhall-load-", 0).factory())) {
      List<Future<?>> opened = new ArrayList<>();
      for (int expert : numbers) {
        opened.add(threads.submit(() -> experts.put(expert, opener.apply(expert))));
      }
      try {
        for (Future<?> expert : opened) {
          expert.get();
        }
      } catch (ExecutionException e) {
        threads.shutdownNow();
        throw e.getCause() instanceof GuildhallException known
            ? known
            : new GuildhallException(
                ErrorCode.INTERNAL, "an expert cannot be loaded", e.getCause());
      } catch (InterruptedException e) {
        threads.shutdownNow();
        Thread.currentThread().interrupt();
        throw new GuildhallException(ErrorCode.UNAVAILABLE, "the service is shutting down", e);
      }
    }
  }

  private IntFunction<ExpertRuntime> opener(Device device) {
    LayerConfig config = layer.config();
    if (config.expert() instanceof ExpertArchitecture.Onnx onnx) {
      return expert ->
          OnnxExpert.file(LayerWeights.onnxFile(layer, onnx, expert), config.hiddenSize(), device);
    }
    LayerWeights tensors = LayerWeights.open(layer);
    weights = Optional.of(tensors);
    return expert -> {
      ExpertRuntime runtime = OnnxExpert.of(tensors.expert(expert), config.precision(), device);
      // What the session computes with is a copy of its own.
      tensors.unload();
      return runtime;
    };
  }

  /** Gives every expert a queue of the pool. This is closed when nobody uses these any more. */
  public HostedVersion hostedBy(ComputePool pool) {
    SortedMap<Integer, ExpertQueue> queues = new TreeMap<>();
    experts.forEach((expert, runtime) ->
        queues.put(expert, pool.host(new ExpertKey(layer.name(), expert), runtime)));
    // The last user may be an event loop, which freeing large weights would hold up.
    Uses uses = new Uses(() -> Thread.ofPlatform().name("guildhall-unload").start(this::close));
    return new HostedVersion(version, layer.config().numExperts(), queues, uses);
  }

  @Override
  public void close() {
    experts.values().forEach(ExpertRuntime::close);
    weights.ifPresent(LayerWeights::close);
  }
}
