package dev.guildhall.router.replicas;

import static java.util.Objects.requireNonNull;

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

  /** The hosts of one of the layers that the directory was made for. */
  public LayerHosts layer(String name) {
    return requireNonNull(layers.get(name), name);
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
