package dev.guildhall.router.api.live;

import java.util.ArrayList;
import java.util.List;

/** Experts in few words: "0–3, 6, dense". */
final class ExpertNames {
  private ExpertNames() {}

  /**
   * Names experts.
   *
   * @param hosted in order, each once
   * @param experts number of those that the gate knows; the one after them takes every token
   */
  static String of(List<Integer> hosted, int experts) {
    List<String> names = new ArrayList<>();
    for (int i = 0; i < hosted.size(); ) {
      int first = hosted.get(i);
      int last = first;
      i++;
      while (i < hosted.size() && hosted.get(i) == last + 1 && last + 1 < experts) {
        last++;
        i++;
      }
      names.add(first >= experts ? "dense" : first == last ? "" + first : first + "–" + last);
    }
    return String.join(", ", names);
  }
}
