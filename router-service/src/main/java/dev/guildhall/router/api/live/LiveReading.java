package dev.guildhall.router.api.live;

import dev.guildhall.repository.LayerVersion;
import dev.guildhall.router.forward.LayerCounts;
import dev.guildhall.router.replicas.ReplicaStatus;
import java.util.List;

/**
 * What a router has counted up to a moment, and how things stand then.
 *
 * @param nanos the moment, on the clock of {@link System#nanoTime}
 * @param millis the same, since 1970
 * @param refused requests refused before they were read, whose layers are not known
 */
public record LiveReading(
    long nanos,
    long millis,
    List<Layer> layers,
    List<ReplicaStatus> replicas,
    long tokensInFlight,
    long tokensAllowed,
    long refused) {

  /**
   * A layer that is served.
   *
   * @param k experts that a token is sent to
   * @param dense whether there is an expert that takes every token, with the number {@code experts}
   * @param withoutHost experts that nobody hosts, in order
   * @param ready whether requests can be served all the same
   */
  public record Layer(
      LayerVersion version,
      int experts,
      int k,
      int hiddenSize,
      boolean dense,
      List<Integer> withoutHost,
      boolean ready,
      LayerCounts counts) {

    public Layer {
      withoutHost = List.copyOf(withoutHost);
    }

    public String name() {
      return version.name();
    }
  }

  public LiveReading {
    layers = List.copyOf(layers);
    replicas = List.copyOf(replicas);
  }
}
