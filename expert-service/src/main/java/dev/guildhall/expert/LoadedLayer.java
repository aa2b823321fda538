package dev.guildhall.expert;

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
import java.nio.file.Path;
import java.util.Optional;
import java.util.SortedMap;
import java.util.TreeMap;

/** The experts of one layer that a replica hosts: weights mapped, sessions made. */
public final class LoadedLayer implements AutoCloseable {
  private final Layer layer;
  private final LayerVersion version;
  private final SortedMap<Integer, ExpertRuntime> experts = new TreeMap<>();
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
    LayerConfig config = layer.config();
    if (config.expert() instanceof ExpertArchitecture.Onnx onnx) {
      for (int expert : numbers) {
        Path file = LayerWeights.onnxFile(layer, onnx, expert);
        experts.put(expert, OnnxExpert.file(file, config.hiddenSize(), device));
      }
      return;
    }
    LayerWeights tensors = LayerWeights.open(layer);
    weights = Optional.of(tensors);
    for (int expert : numbers) {
      experts.put(expert, OnnxExpert.of(tensors.expert(expert), config.precision(), device));
      // What the session computes with is a copy of its own.
      tensors.unload();
    }
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
