package dev.guildhall.router.replicas;

import dev.guildhall.error.ErrorCode;
import dev.guildhall.error.GuildhallException;
import dev.guildhall.repository.LayerConfig;
import dev.guildhall.repository.MissingExperts;
import java.util.Arrays;
import java.util.Collections;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.Set;
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

  /** Nobody hosts anything. */
  public static LayerHosts none(String layer, LayerConfig config) {
    return new LayerHosts(layer, Collections.nCopies(config.hostedExperts(), List.of()));
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

  /** Whether requests can be served that treat experts without a host so. */
  public boolean serves(MissingExperts missing) {
    return switch (missing) {
      case FAIL -> complete();
      case DROP -> byExpert.stream().anyMatch(hosts -> !hosts.isEmpty());
    };
  }

  /**
   * The replica that need not be avoided, then with the least rows outstanding, among those that
   * host all of some experts.
   *
   * @param experts at least one
   * @param except replicas that will not do
   */
  Optional<Replica> leastOutstanding(int[] experts, Set<Replica> except) {
    return byExpert.get(experts[0]).stream()
        .filter(replica -> !except.contains(replica))
        .filter(replica ->
            Arrays.stream(experts).allMatch(expert -> byExpert.get(expert).contains(replica)))
        .min(
            Comparator.comparing(Replica::isAvoided)
                .thenComparingLong(replica -> replica.stream().outstandingRows()));
  }

  /** Whether nobody hosts one of the experts, some replicas left aside. */
  boolean someHostedOnlyBy(int[] experts, Set<Replica> aside) {
    return Arrays.stream(experts).anyMatch(expert -> aside.containsAll(byExpert.get(expert)));
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
