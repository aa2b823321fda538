package dev.guildhall.router;

import dev.guildhall.repository.Layer;
import dev.guildhall.repository.LayerConfig;
import dev.guildhall.repository.LayerVersion;
import dev.guildhall.repository.LayerWeights;
import dev.guildhall.repository.LiveRepository;
import dev.guildhall.repository.Uses;
import dev.guildhall.repository.WeightNames;
import dev.guildhall.router.forward.ServedLayer;
import dev.guildhall.router.forward.ServedLayers;
import dev.guildhall.router.gate.Gate;
import dev.guildhall.router.projection.Projection;
import dev.guildhall.router.replicas.ReplicaDirectory;
import dev.guildhall.router.replicas.RoutingTable;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Predicate;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * How a router takes in what its repository has: a version of a layer is served once every expert
 * of it has a host, and the one before it until its last request is answered. Thread-safe.
 */
final class LayerSwitch implements LiveRepository.Host<ServedLayer>, AutoCloseable {
  private static final Logger log = LoggerFactory.getLogger(LayerSwitch.class);

  private final ReplicaDirectory directory;
  private final ServedLayers served;

  /** By name: loaded, and waiting for hosts. Guarded by this object's lock. */
  private final Map<String, ServedLayer> waiting = new HashMap<>();

  LayerSwitch(ReplicaDirectory directory, ServedLayers served) {
    this.directory = directory;
    this.served = served;
  }

  @Override
  public Predicate<String> tensors(Layer layer) {
    WeightNames names = layer.config().weights();
    return tensor -> !names.ofExpert(tensor);
  }

  @Override
  public ServedLayer open(Layer layer, LayerVersion version) {
    LayerConfig config = layer.config();
    LayerWeights tensors = LayerWeights.open(layer);
    try {
      Gate gate = new Gate(config, tensors.scoreCorrectionBias());
      if (config.useTutel()) {
        log.info(
            "layer {}: use_tutel asks for sparse dispatch, which is what Guildhall always does",
            layer.name());
      }
      // Last of what can fail: from here on it is closed with the layer.
      Projection projection = new Projection(tensors.projection());
      directory.route(version, config);
      Uses uses =
          new Uses(() -> {
            directory.forget(version);
            // The last user may be an event loop, which freeing large weights would hold up.
            Thread.ofPlatform()
                .name("guildhall-unload")
                .start(() -> {
                  projection.close();
                  tensors.close();
                });
          });
      return new ServedLayer(version, layer.proto(), config, projection, gate, uses);
    } catch (RuntimeException | Error e) {
      tensors.close();
      throw e;
    }
  }

  @Override
  public synchronized void serve(ServedLayer opened) {
    closeIfAny(waiting.put(opened.name(), opened));
    serveWhatHasHosts(directory.table());
  }

  @Override
  public synchronized void unload(String name) {
    closeIfAny(waiting.remove(name));
    served.remove(name);
  }

  private static void closeIfAny(@Nullable ServedLayer layer) {
    if (layer != null) {
      layer.close();
    }
  }

  /**
   * Serves what is loaded, whether it has hosts or not; a router that starts says what it lacks.
   */
  synchronized void serveAll() {
    waiting.values().forEach(served::serve);
    waiting.clear();
  }

  /** Lets go of what was never served. */
  @Override
  public synchronized void close() {
    waiting.values().forEach(ServedLayer::close);
    waiting.clear();
  }

  /** Takes a new table in. */
  synchronized void serveWhatHasHosts(RoutingTable table) {
    for (ServedLayer layer : List.copyOf(waiting.values())) {
      if (table.find(layer.version()).filter(hosts -> hosts.complete()).isPresent()) {
        waiting.remove(layer.name());
        served.serve(layer);
        log.info("layer {} is served", layer.version());
      }
    }
  }
}
