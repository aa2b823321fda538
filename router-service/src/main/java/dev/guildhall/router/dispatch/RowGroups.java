package dev.guildhall.router.dispatch;

import dev.guildhall.router.gate.Routing;

/**
 * The rows of a request grouped by expert, in token order inside a group. A row is named by its
 * term: j * tokens + t for choice j of token t, and k * tokens + t for the dense expert.
 *
 * @param start [groups + 1] where a group's rows start; the last group is the dense expert's, if
 *     there is one
 * @param termOfRow [rows]
 */
record RowGroups(int[] start, int[] termOfRow) {

  static RowGroups of(Routing routing, boolean dense) {
    int groups = routing.experts() + (dense ? 1 : 0);
    int[] expert = routing.expert();
    int[] start = new int[groups + 1];
    for (int e : expert) {
      if (e != Routing.NO_EXPERT) {
        start[e + 1]++;
      }
    }
    if (dense) {
      start[groups] = routing.tokens();
    }
    for (int g = 0; g < groups; g++) {
      start[g + 1] += start[g];
    }
    int[] termOfRow = new int[start[groups]];
    int[] next = start.clone();
    for (int t = 0; t < routing.tokens(); t++) {
      for (int term = t; term < expert.length; term += routing.tokens()) {
        if (expert[term] != Routing.NO_EXPERT) {
          termOfRow[next[expert[term]]++] = term;
        }
      }
    }
    for (int t = 0; dense && t < routing.tokens(); t++) {
      termOfRow[start[groups - 1] + t] = expert.length + t;
    }
    return new RowGroups(start, termOfRow);
  }

  int groups() {
    return start.length - 1;
  }

  int rows(int group) {
    return start[group + 1] - start[group];
  }
}
