package dev.guildhall.router.combine;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT_UNALIGNED;

import dev.guildhall.router.dispatch.DispatchPlan;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;

/**
 * Sums what the experts computed into a layer's output: {@code out[t] = sum over choices of weight
 * * row}, and with a dense expert {@code out * experts + dense * weight} (DeepSpeed's combine
 * einsum, and the end of {@code MoE.forward}). The order of a sum is that of the choices, so that
 * the result does not depend on which batch came first. Immutable.
 *
 * <p>The loops read and write the segments directly. The compiler cannot prove that these do not
 * overlap and leaves the loops scalar, yet they keep up with memory; copies through arrays, which
 * are vectorised, took a fifth longer at 4096 x 1024.
 */
public final class Combine {
  private final DispatchPlan plan;
  private final int hiddenSize;
  // [terms, tokens] row-major: the choices and then the dense expert, its mix multiplied in.
  private final int[] rowOfTerm;
  private final float[] weightOfTerm;

  private Combine(DispatchPlan plan, int hiddenSize, int[] rowOfTerm, float[] weightOfTerm) {
    this.plan = plan;
    this.hiddenSize = hiddenSize;
    this.rowOfTerm = rowOfTerm;
    this.weightOfTerm = weightOfTerm;
  }

  /**
   * The combine of a layer without a dense expert.
   *
   * @param weights [k, tokens] the routing's; not copied
   */
  public static Combine of(DispatchPlan plan, float[] weights, int hiddenSize) {
    checkLength("weights", weights.length, plan.rowOfRoute().length);
    return new Combine(plan, hiddenSize, plan.rowOfRoute(), weights);
  }

  /**
   * The combine of a layer with a dense expert, whose rows the plan has.
   *
   * @param weights [k, tokens] the routing's
   */
  public static Combine withDense(
      DispatchPlan plan, float[] weights, DenseMix mix, int hiddenSize) {
    int tokens = plan.tokens();
    checkLength("weights", weights.length, plan.rowOfRoute().length);
    checkLength("rowOfDense", plan.rowOfDense().length, tokens);
    checkLength("mix", mix.tokens(), tokens);
    int routes = weights.length;
    int[] rowOfTerm = Arrays.copyOf(plan.rowOfRoute(), routes + tokens);
    System.arraycopy(plan.rowOfDense(), 0, rowOfTerm, routes, tokens);
    float[] weightOfTerm = Arrays.copyOf(weights, routes + tokens);
    for (int t = 0; t < tokens; t++) {
      for (int term = t; term < routes; term += tokens) {
        weightOfTerm[term] *= mix.experts()[t];
      }
      weightOfTerm[routes + t] = mix.dense()[t];
    }
    return new Combine(plan, hiddenSize, rowOfTerm, weightOfTerm);
  }

  /**
   * Writes the output. A token without routes gets zeros.
   *
   * @param blocks one a batch, in the plan's order: [batch.rows, hiddenSize] fp32, native byte
   *     order; not read where no row of the plan is in it
   * @param output [tokens, hiddenSize] fp32
   */
  public void sum(MemorySegment[] blocks, MemorySegment output) {
    checkLength("blocks", blocks.length, plan.batches().size());
    for (int t = 0; t < plan.tokens(); t++) {
      sumToken(blocks, output, t);
    }
  }

  private void sumToken(MemorySegment[] blocks, MemorySegment output, int token) {
    long rowBytes = (long) hiddenSize * Float.BYTES;
    long to = token * rowBytes;
    int first = nextTerm(token);
    if (first == rowOfTerm.length) {
      output.asSlice(to, rowBytes).fill((byte) 0);
      return;
    }
    MemorySegment a = blocks[batchOf(first)];
    int second = nextTerm(first + plan.tokens());
    if (second == rowOfTerm.length) {
      scaled(a, offset(first), weightOfTerm[first], output, to);
      return;
    }
    // Two terms in one pass: layers with k = 2, or k = 1 and a dense expert, are the usual ones.
    MemorySegment b = blocks[batchOf(second)];
    scaledPair(
        a, offset(first), weightOfTerm[first], b, offset(second), weightOfTerm[second], output, to);
    int term = nextTerm(second + plan.tokens());
    for (; term < rowOfTerm.length; term = nextTerm(term + plan.tokens())) {
      addScaled(blocks[batchOf(term)], offset(term), weightOfTerm[term], output, to);
    }
  }

  /** The first of {@code term} and its token's later ones that has a row, or rowOfTerm.length. */
  private int nextTerm(int term) {
    int next = term;
    while (next < rowOfTerm.length && rowOfTerm[next] == DispatchPlan.NO_ROW) {
      next += plan.tokens();
    }
    return Math.min(next, rowOfTerm.length);
  }

  private int batchOf(int term) {
    return plan.batchOfRow(rowOfTerm[term]);
  }

  private long offset(int term) {
    long rowInBlock = (long) rowOfTerm[term] - plan.batches().get(batchOf(term)).firstRow();
    return rowInBlock * hiddenSize * Float.BYTES;
  }

  private void scaled(MemorySegment a, long aOffset, float weight, MemorySegment out, long to) {
    for (int i = 0; i < hiddenSize; i++) {
      long at = 4L * i;
      out.set(JAVA_FLOAT_UNALIGNED, to + at, weight * a.get(JAVA_FLOAT_UNALIGNED, aOffset + at));
    }
  }

  private void scaledPair(
      MemorySegment a,
      long aOffset,
      float aWeight,
      MemorySegment b,
      long bOffset,
      float bWeight,
      MemorySegment out,
      long to) {
    for (int i = 0; i < hiddenSize; i++) {
      long at = 4L * i;
      float sum =
          aWeight * a.get(JAVA_FLOAT_UNALIGNED, aOffset + at)
              + bWeight * b.get(JAVA_FLOAT_UNALIGNED, bOffset + at);
      out.set(JAVA_FLOAT_UNALIGNED, to + at, sum);
    }
  }

  private void addScaled(MemorySegment a, long aOffset, float weight, MemorySegment out, long to) {
    for (int i = 0; i < hiddenSize; i++) {
      long at = 4L * i;
      float sum =
          out.get(JAVA_FLOAT_UNALIGNED, to + at)
              + weight * a.get(JAVA_FLOAT_UNALIGNED, aOffset + at);
      out.set(JAVA_FLOAT_UNALIGNED, to + at, sum);
    }
  }

  private static void checkLength(String name, int length, int right) {
    if (length != right) {
      throw new IllegalArgumentException(
          "%s has %d elements; allowed is %d".formatted(name, length, right));
    }
  }
}
