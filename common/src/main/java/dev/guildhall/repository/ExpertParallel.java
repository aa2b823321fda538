package dev.guildhall.repository;

import dev.guildhall.error.GuildhallException;
import java.util.stream.IntStream;

/**
 * Which slice of the experts a replica hosts: rank R of N has E / N of them, side by side, as
 * DeepSpeed's expert parallel groups.
 *
 * @param rank 0 to size-1
 * @param size EP ranks
 */
public record ExpertParallel(int rank, int size) {
  /** All experts. */
  public static final ExpertParallel WHOLE = new ExpertParallel(0, 1);

  public ExpertParallel {
    if (size < 1) {
      throw GuildhallException.invalidArgument("ep_size is %d; allowed is from 1".formatted(size));
    }
    if (rank < 0 || rank >= size) {
      throw GuildhallException.invalidArgument(
          "ep_rank is %d; allowed is from 0 to %d, below the ep_size".formatted(rank, size - 1));
    }
  }

  /**
   * The experts of a layer that this rank hosts, the dense one (on every rank) as E.
   *
   * @throws GuildhallException INVALID_ARGUMENT if the experts cannot be cut in so many
   */
  public int[] experts(Layer layer) {
    LayerConfig config = layer.config();
    if (config.numExperts() % size != 0) {
      throw GuildhallException.invalidArgument(
          "ep_size is %d; allowed is a divisor of layer %s's num_experts %d"
              .formatted(size, layer.name(), config.numExperts()));
    }
    int each = config.numExperts() / size;
    IntStream experts = IntStream.range(rank * each, (rank + 1) * each);
    return config.hasDenseExpert()
        ? IntStream.concat(experts, IntStream.of(config.denseExpert())).toArray()
        : experts.toArray();
  }
}
