package dev.guildhall.router.forward;

import dev.guildhall.proto.MoeLayerConfig;
import dev.guildhall.repository.LayerConfig;
import dev.guildhall.repository.LayerVersion;
import dev.guildhall.repository.Uses;
import dev.guildhall.router.gate.Gate;
import dev.guildhall.router.projection.Projection;

/**
 * A version of a layer as a router holds it: how it is configured, and its gate.
 *
 * @param proto the configuration as layer.json gives it
 * @param uses whoever serves it has one, and every request; the last one frees the weights
 */
public record ServedLayer(
    LayerVersion version,
    MoeLayerConfig proto,
    LayerConfig config,
    Projection projection,
    Gate gate,
    Uses uses)
    implements AutoCloseable {

  public String name() {
    return version.name();
  }

  /** Ends the use of whoever serves it. */
  @Override
  public void close() {
    uses.release();
  }
}
