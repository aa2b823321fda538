package dev.guildhall.expert.exchange;

import dev.guildhall.error.ErrorCode;
import dev.guildhall.error.GuildhallException;
import dev.guildhall.expert.batching.ExpertQueue;
import dev.guildhall.proto.HostedLayer;
import dev.guildhall.repository.LayerVersion;
import dev.guildhall.repository.Uses;
import java.util.Collections;
import java.util.SortedMap;
import java.util.TreeMap;

/**
 * One version of a layer, and the experts of it that this replica hosts.
 *
 * @param numExperts of the whole layer
 * @param experts at least one, by number, E standing for the residual MLP
 * @param uses to be acquired for a batch and released after it
 */
public record HostedVersion(
    LayerVersion version, int numExperts, SortedMap<Integer, ExpertQueue> experts, Uses uses) {

  public HostedVersion {
    experts = Collections.unmodifiableSortedMap(new TreeMap<>(experts));
  }

  /** H, the width of a row. */
  public int hiddenSize() {
    return experts.firstEntry().getValue().hiddenSize();
  }

  /**
   * One expert's queue.
   *
   * @throws GuildhallException NOT_FOUND for an expert that is not hosted here
   */
  public ExpertQueue expert(int expert) {
    ExpertQueue queue = experts.get(expert);
    if (queue == null) {
      throw new GuildhallException(
          ErrorCode.NOT_FOUND,
          "expert %d of layer %s is not hosted here; hosted are: %s"
              .formatted(expert, version, experts.keySet()));
    }
    return queue;
  }

  HostedLayer describe() {
    return HostedLayer.newBuilder()
        .setName(version.name())
        .setDigest(version.digest())
        .setHiddenSize(hiddenSize())
        .setNumExperts(numExperts)
        .addAllExperts(experts.keySet())
        .build();
  }
}
