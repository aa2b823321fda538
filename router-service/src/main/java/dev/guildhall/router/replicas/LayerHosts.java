package dev.guildhall.router.replicas;

import dev.guildhall.error.ErrorCode;
import dev.guildhall.error.GuildhallException;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

/**
 * Who hosts the experts of a layer.
 *
 * @param layer its name
 * @param byExpert the replicas of each expert, the residual MLP last if there is one
 */
public record LayerHosts(String layer, List<List<Replica>> byExpert) {

  public LayerHosts {
    byExpert = byExpert.stream().map(List::copyOf).toList();
  }

  /** Experts that nobody hosts, in order. */
  public List<Integer> withoutHost() {
    return IntStream.range(0, byExpert.size())
        .filter(expert -> byExpert.get(expert).isEmpty())
        .boxed()
        .toList();
  }

  public boolean complete() {
    return byExpert.stream().noneMatch(List::isEmpty);
  }

  /** UNAVAILABLE that names the layer and every expert without a host. */
  public GuildhallException unavailable() {
    return new GuildhallException(
        ErrorCode.UNAVAILABLE,
        "layer %s: no replica hosts %s"
            .formatted(
                layer,
                withoutHost().stream()
                    .map(expert -> "expert " + expert)
                    .collect(Collectors.joining(", "))));
  }
}
