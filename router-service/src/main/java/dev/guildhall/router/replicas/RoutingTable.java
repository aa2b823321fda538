package dev.guildhall.router.replicas;

import static java.util.Objects.requireNonNull;

import dev.guildhall.repository.LayerVersion;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * Which replicas host what, at one moment; never changed, only replaced.
 *
 * @param version counts up with every change
 * @param layers by version
 */
public record RoutingTable(long version, Map<LayerVersion, LayerHosts> layers) {

  public RoutingTable {
    layers = Map.copyOf(layers);
  }

  /** The hosts of a version that somebody uses. */
  public LayerHosts layer(LayerVersion version) {
    return requireNonNull(layers.get(version), version::toString);
  }

  /** The hosts of a version; empty if it is not routed for any more. */
  public Optional<LayerHosts> find(LayerVersion version) {
    return Optional.ofNullable(layers.get(version));
  }

  /** Number of replicas that host something. */
  public long replicas() {
    return layers.values().stream()
        .flatMap(hosts -> hosts.byExpert().stream())
        .flatMap(List::stream)
        .distinct()
        .count();
  }
}
