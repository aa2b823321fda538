package dev.guildhall.router.gate;

import static java.util.Objects.requireNonNull;

/**
 * A gate's decision about one request. The arrays are handed over, not copied: whoever receives a
 * routing reads them only.
 *
 * @param tokens number of tokens
 * @param experts E
 * @param k choices a token has
 * @param expert [k, tokens] row-major: choice j of token t stands at j * tokens + t; -1: no route,
 *     because it was dropped or the token is not used
 * @param slot [k, tokens] the route's place among those that its expert takes; 0 without a route
 * @param weight [k, tokens] combine weight; 0 without a route
 * @param capacity most routes that an expert takes
 * @param lAux load-balancing loss
 * @param expCounts [E] routes chosen, before capacity drops
 * @param droppedRoutes routes dropped, by capacity or by {@link Gate#without}
 */
public record Routing(
    int tokens,
    int experts,
    int k,
    int[] expert,
    int[] slot,
    float[] weight,
    int capacity,
    float lAux,
    long[] expCounts,
    int droppedRoutes) {

  /** In {@link #expert}: the choice has no route. */
  public static final int NO_EXPERT = -1;

  public Routing {
    checkLength("expert", requireNonNull(expert, "expert is null").length, k * tokens);
    checkLength("slot", requireNonNull(slot, "slot is null").length, k * tokens);
    checkLength("weight", requireNonNull(weight, "weight is null").length, k * tokens);
    checkLength("expCounts", requireNonNull(expCounts, "expCounts is null").length, experts);
  }

  /** Number of routes: choices with an expert. */
  public int routes() {
    long chosen = 0;
    for (long count : expCounts) {
      chosen += count;
    }
    return Math.toIntExact(chosen - droppedRoutes);
  }

  private static void checkLength(String name, int length, int right) {
    if (length != right) {
      throw new IllegalArgumentException(
          "%s has %d elements; allowed is %d".formatted(name, length, right));
    }
  }
}
