package dev.guildhall.router.replicas;

import dev.guildhall.error.ErrorCode;
import dev.guildhall.error.GuildhallException;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/**
 * Which replicas host what, at one moment; never changed, only replaced.
 *
 * @param version counts up with every change
 * @param layers by name, in the order of names
 */
public record RoutingTable(long version, Map<String, LayerHosts> layers) {

  public RoutingTable {
    layers = Collections.unmodifiableMap(new TreeMap<>(layers));
  }

  /**
   * The hosts of one layer.
   *
   * @throws GuildhallException NOT_FOUND for a layer that this router does not serve
   */
  public LayerHosts layer(String name) {
    LayerHosts hosts = layers.get(name);
    if (hosts == null) {
      throw new GuildhallException(
          ErrorCode.NOT_FOUND,
          "no layer is called \"%s\"; there are: %s"
              .formatted(name, String.join(", ", layers.keySet())));
    }
    return hosts;
  }

  /** Number of replicas that host something. */
  public long replicas() {
    return layers.values().stream()
        .flatMap(hosts -> hosts.byExpert().stream())
        .flatMap(List::stream)
        .distinct()
        .count();
  }

  /** Whether every expert of every layer has a host. */
  public boolean complete() {
    return layers.values().stream().allMatch(LayerHosts::complete);
  }

  public List<LayerHosts> incomplete() {
    return layers.values().stream().filter(hosts -> !hosts.complete()).toList();
  }
}
