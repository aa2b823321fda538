package dev.guildhall.router.api.live;

import dev.guildhall.repository.LayerConfig;
import dev.guildhall.router.forward.ForwardMetrics;
import dev.guildhall.router.forward.LayerForward;
import dev.guildhall.router.forward.ServedLayer;
import dev.guildhall.router.forward.ServedLayers;
import dev.guildhall.router.replicas.LayerHosts;
import dev.guildhall.router.replicas.ReplicaDirectory;
import dev.guildhall.router.replicas.RoutingTable;
import java.util.function.Supplier;

/** Reads what a router counts anyway. Thread-safe; nothing blocks. */
public final class LiveSource implements Supplier<LiveReading> {
  private final ServedLayers layers;
  private final ReplicaDirectory directory;
  private final LayerForward forward;
  private final ForwardMetrics metrics;

  public LiveSource(
      ServedLayers layers,
      ReplicaDirectory directory,
      LayerForward forward,
      ForwardMetrics metrics) {
    this.layers = layers;
    this.directory = directory;
    this.forward = forward;
    this.metrics = metrics;
  }

  @Override
  public LiveReading get() {
    RoutingTable table = directory.table();
    return new LiveReading(
        System.nanoTime(),
        System.currentTimeMillis(),
        layers.all().stream().map(layer -> read(layer, table)).toList(),
        directory.status(),
        forward.tokensInFlight(),
        forward.tokensAllowed(),
        metrics.refusedUnreadCount());
  }

  private LiveReading.Layer read(ServedLayer layer, RoutingTable table) {
    LayerConfig config = layer.config();
    LayerHosts hosts = table.find(layer.version()).orElse(LayerHosts.none(layer.name(), config));
    return new LiveReading.Layer(
        layer.version(),
        config.numExperts(),
        config.k(),
        config.hiddenSize(),
        config.hostedExperts() > config.numExperts(),
        hosts.withoutHost(),
        hosts.serves(config.missingExperts()),
        metrics.counts(layer));
  }
}
