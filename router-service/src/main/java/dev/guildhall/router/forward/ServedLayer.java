package dev.guildhall.router.forward;

import dev.guildhall.proto.MoeLayerConfig;
import dev.guildhall.repository.LayerConfig;
import dev.guildhall.router.gate.Gate;
import dev.guildhall.router.projection.Projection;

/**
 * A layer as a router holds it: what it is called, how it is configured, and its gate.
 *
 * @param proto the configuration as layer.json gives it
 */
public record ServedLayer(
    String name, MoeLayerConfig proto, LayerConfig config, Projection projection, Gate gate)
    implements AutoCloseable {

  @Override
  public void close() {
    projection.close();
  }
}
