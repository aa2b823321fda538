package dev.guildhall.router.combine;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.guildhall.router.dispatch.Dispatch;
import dev.guildhall.router.dispatch.DispatchPlan;
import dev.guildhall.router.gate.RandomRouting;
import dev.guildhall.router.gate.Routing;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

class CombineTest {
  private static final int HIDDEN_SIZE = 5;

  static long[] seeds() {
    return RandomRouting.seeds();
  }

  /** A request whose experts' answers are random. */
  private static final class Answered {
    final Routing routing;
    final DispatchPlan plan;
    final float[] coefficientLogits;
    final float[][] rows;

    Answered(long seed, boolean residual) {
      SplittableRandom random = new SplittableRandom(~seed);
      routing = RandomRouting.of(seed);
      plan =
          Dispatch.plan(routing, residual, random.nextInt(1, 40), (expert, n) -> random.nextInt(3));
      coefficientLogits = floats(random, 2 * routing.tokens());
      rows = new float[plan.rows()][];
      for (int r = 0; r < rows.length; r++) {
        rows[r] = floats(random, HIDDEN_SIZE);
      }
    }

    private static float[] floats(SplittableRandom random, int count) {
      float[] values = new float[count];
      for (int i = 0; i < count; i++) {
        values[i] = (float) random.nextGaussian(0, 3);
      }
      return values;
    }

    /** One block a batch, at odd addresses as they may arrive. */
    MemorySegment[] blocks(Arena arena) {
      return plan.batches().stream()
          .map(batch -> {
            long bytes = (long) batch.rows() * HIDDEN_SIZE * Float.BYTES;
            MemorySegment block = arena.allocate(bytes + 1).asSlice(1);
            for (int i = 0; i < batch.rows() * HIDDEN_SIZE; i++) {
              float value = rows[batch.firstRow() + i / HIDDEN_SIZE][i % HIDDEN_SIZE];
              block.set(ValueLayout.JAVA_FLOAT_UNALIGNED, 4L * i, value);
            }
            return block;
          })
          .toArray(MemorySegment[]::new);
    }

    double expected(int token, int dim, boolean residual) {
      double sum = 0;
      for (int i = token; i < plan.rowOfRoute().length; i += plan.tokens()) {
        if (plan.rowOfRoute()[i] != DispatchPlan.NO_ROW) {
          sum += (double) routing.weight()[i] * rows[plan.rowOfRoute()[i]][dim];
        }
      }
      if (!residual) {
        return sum;
      }
      double c0 = Math.exp(coefficientLogits[2 * token]);
      double c1 = Math.exp(coefficientLogits[2 * token + 1]);
      return (sum * c0 + rows[plan.rowOfDense()[token]][dim] * c1) / (c0 + c1);
    }

    Combine combine(boolean residual) {
      return residual
          ? Combine.withDense(
              plan, routing.weight(), DenseMix.residual(coefficientLogits), HIDDEN_SIZE)
          : Combine.of(plan, routing.weight(), HIDDEN_SIZE);
    }
  }

  private static void assertSum(long seed, boolean residual) {
    Answered answered = new Answered(seed, residual);
    int tokens = answered.plan.tokens();
    float[] output = new float[tokens * HIDDEN_SIZE];
    Arrays.fill(output, Float.NaN);
    MemorySegment target = MemorySegment.ofArray(output);
    Combine combine = answered.combine(residual);

    try (Arena arena = Arena.ofConfined()) {
      MemorySegment[] blocks = answered.blocks(arena);
      combine.sum(blocks, target);
    }

    for (int i = 0; i < output.length; i++) {
      double expected = answered.expected(i / HIDDEN_SIZE, i % HIDDEN_SIZE, residual);
      assertEquals(expected, output[i], 1e-5 + 1e-5 * Math.abs(expected), "element " + i);
    }
  }

  @ParameterizedTest(name = "seed {0}")
  @MethodSource("seeds")
  void sumsWeightedRowsOfEachToken(long seed) {
    assertSum(seed, false);
  }

  @ParameterizedTest(name = "seed {0}")
  @MethodSource("seeds")
  void mixesTheResidualByItsCoefficients(long seed) {
    assertSum(seed, true);
  }

  @Test
  void aTokenWithoutRoutesGivesZeros() {
    Routing dropped =
        new Routing(1, 1, 1, new int[] {-1}, new int[1], new float[1], 0, 0, new long[] {1}, 1);
    DispatchPlan plan = Dispatch.plan(dropped, false, 4, (expert, rows) -> 0);
    float[] output = {7, 7};

    Combine.of(plan, dropped.weight(), 2).sum(new MemorySegment[0], MemorySegment.ofArray(output));

    assertArrayEquals(new float[2], output);
  }

  @Test
  void extremeCoefficientsStayFinite() {
    Routing one =
        new Routing(1, 1, 1, new int[1], new int[1], new float[] {1}, 1, 0, new long[] {1}, 0);
    DispatchPlan plan = Dispatch.plan(one, true, 4, (expert, rows) -> 0);
    float[] output = new float[1];
    MemorySegment[] blocks = {MemorySegment.ofArray(new float[] {3, 5})};

    Combine.withDense(plan, one.weight(), DenseMix.residual(new float[] {-1e30f, 1e30f}), 1)
        .sum(blocks, MemorySegment.ofArray(output));

    assertArrayEquals(new float[] {5}, output);
  }

  @Test
  void aMissingBlockIsRefused() {
    Answered answered = new Answered(3, true);
    Combine combine = answered.combine(true);
    MemorySegment output = MemorySegment.ofArray(new float[0]);

    assertThrows(IllegalArgumentException.class, () -> combine.sum(new MemorySegment[0], output));
  }

  @Test
  void addsASharedExpertAsItIsOrBehindItsGate() {
    DenseMix plain = DenseMix.sum(2);
    assertArrayEquals(new float[] {1, 1}, plain.experts());
    assertArrayEquals(new float[] {1, 1}, plain.dense());
    DenseMix gated = DenseMix.gated(new float[] {0, 1});
    assertArrayEquals(new float[] {1, 1}, gated.experts());
    assertArrayEquals(new float[] {0.5f, (float) (1 / (1 + Math.exp(-1)))}, gated.dense(), 1e-7f);
  }
}
