package dev.guildhall.router.forward;

import dev.guildhall.router.gate.Routing;
import java.util.List;
import java.util.SortedSet;
import java.util.TreeSet;

/**
 * Routes that nobody could compute, because no replica hosts their expert.
 *
 * @param experts in order, each once
 */
public record LostRoutes(int count, List<Integer> experts) {

  /**
   * What was lost between two states of a request's routing.
   *
   * @param chosen by the gate
   * @param left of it
   */
  static LostRoutes between(Routing chosen, Routing left) {
    SortedSet<Integer> experts = new TreeSet<>();
    for (int i = 0; i < chosen.expert().length; i++) {
      if (chosen.expert()[i] != left.expert()[i]) {
        experts.add(chosen.expert()[i]);
      }
    }
    return new LostRoutes(left.droppedRoutes() - chosen.droppedRoutes(), List.copyOf(experts));
  }
}
