package dev.guildhall.expert;

import dev.guildhall.expert.batching.ComputePool;
import dev.guildhall.expert.exchange.HostedExperts;
import dev.guildhall.onnx.Device;
import dev.guildhall.repository.ExpertParallel;
import dev.guildhall.repository.Layer;
import dev.guildhall.repository.LayerVersion;
import dev.guildhall.repository.LiveRepository;
import java.util.Arrays;
import java.util.List;
import java.util.function.Predicate;

/** How an expert service takes in what its repository has. */
record LayerHost(ExpertParallel slice, Device device, ComputePool pool, HostedExperts hosted)
    implements LiveRepository.Host<LoadedLayer> {

  @Override
  public Predicate<String> tensors(Layer layer) {
    List<String> prefixes =
        Arrays.stream(slice.experts(layer))
            .mapToObj(expert -> layer.config().expertPrefix(expert) + ".")
            .toList();
    return tensor -> prefixes.stream().anyMatch(tensor::startsWith);
  }

  @Override
  public LoadedLayer open(Layer layer, LayerVersion version) {
    return LoadedLayer.open(layer, version, slice, device);
  }

  @Override
  public void serve(LoadedLayer opened) {
    hosted.host(opened.hostedBy(pool));
  }

  @Override
  public void unload(String name) {
    hosted.retire(name);
  }
}
