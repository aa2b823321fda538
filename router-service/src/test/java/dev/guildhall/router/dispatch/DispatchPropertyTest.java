package dev.guildhall.router.dispatch;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.guildhall.router.gate.RandomRouting;
import dev.guildhall.router.gate.Routing;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.stream.IntStream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** What holds for every plan, tried on routings, limits and hosts made from a seed. */
class DispatchPropertyTest {

  static long[] seeds() {
    return RandomRouting.seeds();
  }

  /** A plan and what it was made from. */
  private record Planned(Routing routing, boolean residual, int maxRows, DispatchPlan plan) {
    static Planned of(long seed) {
      SplittableRandom random = new SplittableRandom(~seed);
      Routing routing = RandomRouting.of(seed);
      boolean residual = random.nextBoolean();
      int maxRows = random.nextInt(1, 40);
      int hosts = random.nextInt(1, 5);
      return new Planned(
          routing,
          residual,
          maxRows,
          Dispatch.plan(routing, residual, maxRows, (expert, rows) -> random.nextInt(hosts)));
    }
  }

  @ParameterizedTest(name = "seed {0}")
  @MethodSource("seeds")
  void everyRouteHasARowOfItsTokenAndExpert(long seed) {
    Planned planned = Planned.of(seed);
    DispatchPlan plan = planned.plan();
    int[] expertOfRow = expertOfRow(plan);
    int tokens = plan.tokens();
    int rows = 0;

    for (int i = 0; i < plan.rowOfRoute().length; i++) {
      int expert = planned.routing().expert()[i];
      int row = plan.rowOfRoute()[i];
      if (expert == Routing.NO_EXPERT) {
        assertEquals(DispatchPlan.NO_ROW, row);
      } else {
        assertEquals(i % tokens, plan.tokenOfRow()[row]);
        assertEquals(expert, expertOfRow[row]);
        rows++;
      }
    }
    for (int t = 0; t < plan.rowOfDense().length; t++) {
      assertEquals(t, plan.tokenOfRow()[plan.rowOfDense()[t]]);
      assertEquals(planned.routing().experts(), expertOfRow[plan.rowOfDense()[t]]);
      rows++;
    }
    assertEquals(planned.residual() ? tokens : 0, plan.rowOfDense().length);
    assertEquals(rows, plan.rows());
  }

  private static int[] expertOfRow(DispatchPlan plan) {
    return plan.batches().stream()
        .flatMapToInt(batch ->
            IntStream.range(0, batch.experts().length)
                .flatMap(
                    i -> IntStream.generate(() -> batch.experts()[i]).limit(batch.rowCounts()[i])))
        .toArray();
  }

  @ParameterizedTest(name = "seed {0}")
  @MethodSource("seeds")
  void batchesFollowOneAnotherAndAreAsFewAsTheLimitAllows(long seed) {
    Planned planned = Planned.of(seed);
    Map<Integer, Integer> rowsOfHost = new HashMap<>();
    Map<Integer, Integer> batchesOfHost = new HashMap<>();
    int row = 0;

    for (int b = 0; b < planned.plan().batches().size(); b++) {
      Batch batch = planned.plan().batches().get(b);
      assertEquals(row, batch.firstRow());
      assertTrue(batch.rows() >= 1 && batch.rows() <= planned.maxRows());
      assertEquals(batch.rows(), Arrays.stream(batch.rowCounts()).sum());
      assertEquals(
          batch.experts().length,
          Arrays.stream(batch.experts()).distinct().count(),
          "one run each");
      assertEquals(b, planned.plan().batchOfRow(row));
      row += batch.rows();
      assertEquals(b, planned.plan().batchOfRow(row - 1));
      rowsOfHost.merge(batch.host(), batch.rows(), Integer::sum);
      batchesOfHost.merge(batch.host(), 1, Integer::sum);
    }
    assertEquals(planned.plan().rows(), row);
    rowsOfHost.forEach((host, rows) ->
        assertEquals(Math.ceilDiv(rows, planned.maxRows()), batchesOfHost.get(host)));
  }

  @ParameterizedTest(name = "seed {0}")
  @MethodSource("seeds")
  void gatherCopiesTheHiddenStateOfEachRowsToken(long seed) {
    DispatchPlan plan = Planned.of(seed).plan();
    int width = 3;
    float[] hidden = new float[plan.tokens() * width];
    for (int i = 0; i < hidden.length; i++) {
      hidden[i] = i;
    }

    for (Batch batch : plan.batches()) {
      float[] gathered = new float[batch.rows() * width];
      RowGather.gather(
          plan,
          batch,
          MemorySegment.ofArray(hidden),
          (long) width * Float.BYTES,
          MemorySegment.ofArray(gathered));
      for (int i = 0; i < gathered.length; i++) {
        int token = plan.tokenOfRow()[batch.firstRow() + i / width];
        assertEquals(token * width + i % width, gathered[i]);
      }
    }
  }

  @ParameterizedTest(name = "seed {0}")
  @MethodSource("seeds")
  void rowsOfAnExpertInABatchAreInTokenOrder(long seed) {
    DispatchPlan plan = Planned.of(seed).plan();

    for (Batch batch : plan.batches()) {
      int from = batch.firstRow();
      for (int count : batch.rowCounts()) {
        int[] tokens = Arrays.copyOfRange(plan.tokenOfRow(), from, from + count);
        assertArrayEquals(Arrays.stream(tokens).sorted().distinct().toArray(), tokens);
        from += count;
      }
    }
  }
}
