package dev.guildhall.expert;

import dev.guildhall.expert.batching.ComputePool;
import dev.guildhall.expert.batching.ExpertKey;
import dev.guildhall.expert.batching.ExpertQueue;
import dev.guildhall.expert.exchange.HostedExperts;
import dev.guildhall.expert.runtime.ExpertRuntime;
import dev.guildhall.expert.runtime.OnnxExpert;
import dev.guildhall.onnx.Device;
import dev.guildhall.onnx.MlpTensors;
import dev.guildhall.proto.DescribeResponse;
import dev.guildhall.proto.HostedLayer;
import dev.guildhall.repository.ExpertArchitecture;
import dev.guildhall.repository.ExpertParallel;
import dev.guildhall.repository.Layer;
import dev.guildhall.repository.LayerConfig;
import dev.guildhall.repository.LayerRepository;
import dev.guildhall.repository.LayerWeights;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SortedMap;
import java.util.TreeMap;

/** The experts of a repository that one replica hosts: weights mapped, sessions made. */
public final class LoadedExperts implements AutoCloseable {
  private final Device device;
  private final Map<String, SortedMap<Integer, ExpertRuntime>> layers = new LinkedHashMap<>();
  private final List<HostedLayer> descriptions = new ArrayList<>();
  private final List<LayerWeights> weights = new ArrayList<>();

  private LoadedExperts(Device device) {
    this.device = device;
  }

  /**
   * Loads a slice of every layer.
   *
   * @throws dev.guildhall.error.GuildhallException for a layer, a tensor or a device that is not
   *     right
   */
  public static LoadedExperts load(
      LayerRepository repository, ExpertParallel slice, Device device) {
    LoadedExperts loaded = new LoadedExperts(device);
    try {
      repository.layers().forEach(layer -> loaded.add(layer, slice.experts(layer)));
      return loaded;
    } catch (RuntimeException e) {
      loaded.close();
      throw e;
    }
  }

  private void add(Layer layer, int[] experts) {
    LayerConfig config = layer.config();
    SortedMap<Integer, ExpertRuntime> runtimes = new TreeMap<>();
    layers.put(layer.name(), runtimes);
    switch (config.expert()) {
      case ExpertArchitecture.Mlp mlp -> {
        LayerWeights tensors = LayerWeights.open(layer);
        weights.add(tensors);
        for (int expert : experts) {
          runtimes.put(
              expert, OnnxExpert.mlp(mlpTensors(config, mlp, tensors.mlp(mlp, expert)), device));
        }
      }
      case ExpertArchitecture.Onnx onnx -> {
        for (int expert : experts) {
          runtimes.put(
              expert,
              OnnxExpert.file(
                  LayerWeights.onnxFile(layer, onnx, expert), config.hiddenSize(), device));
        }
      }
    }
    descriptions.add(
        HostedLayer.newBuilder()
            .setName(layer.name())
            .setHiddenSize(config.hiddenSize())
            .setNumExperts(config.numExperts())
            .addAllExperts(Arrays.stream(experts).boxed().toList())
            .build());
  }

  private static MlpTensors mlpTensors(
      LayerConfig config, ExpertArchitecture.Mlp architecture, LayerWeights.Mlp mlp) {
    return new MlpTensors(
        mlp.fc1().weight(),
        mlp.fc1().bias(),
        mlp.fc2().weight(),
        mlp.fc2().bias(),
        config.hiddenSize(),
        mlp.fc1().outSize(),
        architecture.activation());
  }

  /** Gives every expert a queue of the pool. */
  public HostedExperts hostedBy(ComputePool pool) {
    Map<String, SortedMap<Integer, ExpertQueue>> queues = new LinkedHashMap<>();
    layers.forEach((layer, runtimes) -> {
      SortedMap<Integer, ExpertQueue> byExpert = new TreeMap<>();
      runtimes.forEach((expert, runtime) ->
          byExpert.put(expert, pool.host(new ExpertKey(layer, expert), runtime)));
      queues.put(layer, byExpert);
    });
    return new HostedExperts(queues);
  }

  DescribeResponse describe() {
    return DescribeResponse.newBuilder()
        .setDevice(device.toString())
        .addAllLayers(descriptions)
        .build();
  }

  @Override
  public void close() {
    layers.values().forEach(experts -> experts.values().forEach(ExpertRuntime::close));
    weights.forEach(LayerWeights::close);
  }
}
