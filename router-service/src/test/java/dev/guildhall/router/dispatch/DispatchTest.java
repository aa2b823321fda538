package dev.guildhall.router.dispatch;

import static dev.guildhall.router.dispatch.DispatchPlan.NO_ROW;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.guildhall.router.gate.Routing;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;

class DispatchTest {
  private static final HostChoice ONE_HOST = (expert, rows) -> 0;

  /** A routing with these experts, [k, tokens]; capacity large enough. */
  private static Routing routing(int tokens, int experts, int... expert) {
    long[] counts = new long[experts];
    for (int e : expert) {
      if (e != Routing.NO_EXPERT) {
        counts[e]++;
      }
    }
    int n = expert.length;
    return new Routing(
        tokens, experts, n / tokens, expert, new int[n], new float[n], tokens, 0, counts, 0);
  }

  private static void assertBatch(
      Batch batch, int host, int[] experts, int[] rowCounts, int firstRow) {
    assertEquals(host, batch.host());
    assertArrayEquals(experts, batch.experts());
    assertArrayEquals(rowCounts, batch.rowCounts());
    assertEquals(firstRow, batch.firstRow());
    assertEquals(Arrays.stream(rowCounts).sum(), batch.rows());
  }

  @Test
  void groupsRowsByExpertInTokenOrderAndLeavesDroppedRoutesOut() {
    DispatchPlan plan = Dispatch.plan(routing(4, 3, 2, 0, -1, 2), false, 10, ONE_HOST);

    assertEquals(1, plan.batches().size());
    assertBatch(plan.batches().getFirst(), 0, new int[] {0, 2}, new int[] {1, 2}, 0);
    assertArrayEquals(new int[] {1, 0, 3}, plan.tokenOfRow());
    assertArrayEquals(new int[] {1, 0, NO_ROW, 2}, plan.rowOfRoute());
    assertEquals(0, plan.rowOfDense().length);
  }

  @Test
  void mergesFirstAndSecondChoicesOfAnExpertInTokenOrder() {
    DispatchPlan plan = Dispatch.plan(routing(2, 2, 1, 0, 0, 1), false, 10, ONE_HOST);

    assertArrayEquals(new int[] {0, 1, 0, 1}, plan.tokenOfRow());
    assertArrayEquals(new int[] {2, 1, 0, 3}, plan.rowOfRoute());
  }

  @Test
  void sendsAllTokensToTheResidualAsTheExpertAfterTheLast() {
    DispatchPlan plan = Dispatch.plan(routing(3, 2, 1, -1, 1), true, 10, ONE_HOST);

    assertBatch(plan.batches().getFirst(), 0, new int[] {1, 2}, new int[] {2, 3}, 0);
    assertArrayEquals(new int[] {0, 2, 0, 1, 2}, plan.tokenOfRow());
    assertArrayEquals(new int[] {2, 3, 4}, plan.rowOfDense());
  }

  @Test
  void putsExpertsOfTheSameHostIntoOneBatch() {
    DispatchPlan plan =
        Dispatch.plan(routing(4, 4, 0, 1, 2, 3), false, 10, (expert, rows) -> expert % 2);

    assertEquals(2, plan.batches().size());
    assertBatch(plan.batches().get(0), 0, new int[] {0, 2}, new int[] {1, 1}, 0);
    assertBatch(plan.batches().get(1), 1, new int[] {1, 3}, new int[] {1, 1}, 2);
    assertArrayEquals(new int[] {0, 2, 1, 3}, plan.tokenOfRow());
  }

  @Test
  void cutsAHotExpertEvenlyAndAsksForAHostEachTime() {
    List<Integer> asked = new ArrayList<>();
    HostChoice spread =
        (expert, rows) -> {
          asked.add(rows);
          return asked.size();
        };

    DispatchPlan plan = Dispatch.plan(routing(7, 1, new int[7]), false, 3, spread);

    assertEquals(List.of(2, 2, 3), asked);
    assertEquals(3, plan.batches().size());
    assertBatch(plan.batches().get(2), 3, new int[] {0}, new int[] {3}, 4);
  }

  @Test
  void fillsBatchesSoThatAHostGetsNoMoreThanNeeded() {
    DispatchPlan plan = Dispatch.plan(routing(8, 2, 0, 0, 0, 1, 1, 1, 1, 1), false, 4, ONE_HOST);

    assertEquals(2, plan.batches().size());
    assertBatch(plan.batches().get(0), 0, new int[] {0, 1}, new int[] {3, 1}, 0);
    assertBatch(plan.batches().get(1), 0, new int[] {1}, new int[] {4}, 4);
  }

  @Test
  void aRequestWithoutTokensHasNoBatches() {
    Routing empty =
        new Routing(0, 2, 1, new int[0], new int[0], new float[0], 4, 0, new long[2], 0);

    DispatchPlan plan = Dispatch.plan(empty, true, 4, ONE_HOST);

    assertTrue(plan.batches().isEmpty());
    assertEquals(0, plan.rows());
  }

  @Test
  void aLimitBelowOneRowIsRefused() {
    Routing routing = routing(1, 1, 0);

    assertThrows(IllegalArgumentException.class, () -> Dispatch.plan(routing, false, 0, ONE_HOST));
  }
}
