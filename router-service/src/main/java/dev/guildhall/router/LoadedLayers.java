package dev.guildhall.router;

import static java.util.stream.Collectors.toMap;

import dev.guildhall.onnx.ProjectionTensors;
import dev.guildhall.repository.Layer;
import dev.guildhall.repository.LayerConfig;
import dev.guildhall.repository.LayerRepository;
import dev.guildhall.repository.LayerWeights;
import dev.guildhall.router.forward.ServedLayer;
import dev.guildhall.router.forward.ServedLayers;
import dev.guildhall.router.gate.Gate;
import dev.guildhall.router.projection.Projection;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A repository's layers as a router needs them: the gate's and coefficient's weights, no experts.
 */
final class LoadedLayers implements AutoCloseable {
  private static final Logger log = LoggerFactory.getLogger(LoadedLayers.class);

  private final List<ServedLayer> served = new ArrayList<>();
  private final List<LayerWeights> weights = new ArrayList<>();

  private LoadedLayers() {}

  /**
   * Loads every layer of the repository.
   *
   * @throws dev.guildhall.error.GuildhallException for a layer that is not right
   */
  static LoadedLayers load(LayerRepository repository) {
    LoadedLayers loaded = new LoadedLayers();
    try {
      repository.layers().forEach(loaded::add);
      return loaded;
    } catch (RuntimeException e) {
      loaded.close();
      throw e;
    }
  }

  private void add(Layer layer) {
    LayerConfig config = layer.config();
    LayerWeights tensors = LayerWeights.open(layer);
    weights.add(tensors);
    Optional<ProjectionTensors.Coefficient> coefficient =
        config.useResidual()
            ? Optional.of(
                new ProjectionTensors.Coefficient(
                    tensors.coefficient().weight(), tensors.coefficient().bias()))
            : Optional.empty();
    Projection projection =
        new Projection(
            new ProjectionTensors(
                tensors.gate(), coefficient, config.hiddenSize(), config.numExperts()));
    served.add(new ServedLayer(layer.name(), layer.proto(), config, projection, new Gate(config)));
    if (config.useTutel()) {
      log.info(
          "layer {}: use_tutel asks for sparse dispatch, which is what Guildhall always does",
          layer.name());
    }
  }

  ServedLayers served() {
    return new ServedLayers(served);
  }

  Map<String, LayerConfig> configs() {
    return served.stream().collect(toMap(ServedLayer::name, ServedLayer::config));
  }

  @Override
  public void close() {
    served.forEach(ServedLayer::close);
    weights.forEach(LayerWeights::close);
  }
}
