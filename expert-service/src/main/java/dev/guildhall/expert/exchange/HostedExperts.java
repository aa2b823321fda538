package dev.guildhall.expert.exchange;

import dev.guildhall.error.ErrorCode;
import dev.guildhall.error.GuildhallException;
import dev.guildhall.expert.batching.ExpertQueue;
import java.util.Map;
import java.util.SortedMap;
import java.util.TreeMap;

/** The queues of the experts that this replica hosts, by layer and expert. Immutable. */
public final class HostedExperts {
  private final Map<String, SortedMap<Integer, ExpertQueue>> layers;

  /**
   * @param layers by name: by expert, E standing for the residual MLP
   */
  public HostedExperts(Map<String, SortedMap<Integer, ExpertQueue>> layers) {
    Map<String, SortedMap<Integer, ExpertQueue>> copy = new TreeMap<>();
    layers.forEach((name, experts) -> copy.put(name, new TreeMap<>(experts)));
    this.layers = copy;
  }

  /**
   * The experts of one layer.
   *
   * @throws GuildhallException NOT_FOUND for a layer that is not hosted here
   */
  public LayerExperts layer(String name) {
    SortedMap<Integer, ExpertQueue> experts = layers.get(name);
    if (experts == null) {
      throw new GuildhallException(
          ErrorCode.NOT_FOUND,
          "layer \"%s\" is not hosted here; hosted are: %s"
              .formatted(name, String.join(", ", layers.keySet())));
    }
    return new LayerExperts(name, experts);
  }

  /** The experts of one layer that are hosted here; at least one. */
  public record LayerExperts(String layer, SortedMap<Integer, ExpertQueue> experts) {
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
                .formatted(expert, layer, experts.keySet()));
      }
      return queue;
    }
  }
}
