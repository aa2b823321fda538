package dev.guildhall.checkpoint;

import dev.guildhall.error.GuildhallException;
import dev.guildhall.onnx.Device;
import dev.guildhall.onnx.OnnxGraph;
import dev.guildhall.onnx.OnnxSession;
import dev.guildhall.repository.ExpertWeights;
import dev.guildhall.repository.Precision;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.SplittableRandom;

/**
 * How far the experts' outputs move when their weights are stored or computed in fewer bits, for
 * standard normal inputs, by some experts of a layer.
 */
final class PrecisionLoss {
  private static final int ROWS = 16;
  private static final int SEED = 1;

  private final Precision precision;
  private double squaredDifference;
  private double squaredOutput;

  /**
   * For no experts yet.
   *
   * @param precision what the reduced ones are computed in
   */
  PrecisionLoss(Precision precision) {
    this.precision = precision;
  }

  /**
   * The root of the mean square of the differences, by that of the outputs.
   *
   * @param layer whose experts they are
   * @throws GuildhallException INVALID_ARGUMENT if outputs are not finite
   */
  double relative(String layer) {
    if (!Double.isFinite(squaredOutput)) {
      throw GuildhallException.invalidArgument(
          "layer %s: the outputs of the checkpoint's experts are not finite".formatted(layer));
    }
    if (!Double.isFinite(squaredDifference)) {
      throw GuildhallException.invalidArgument(
          "layer %s: its weights do not fit the type: the experts' outputs are not finite"
              .formatted(layer));
    }
    return squaredDifference == 0 ? 0 : Math.sqrt(squaredDifference / squaredOutput);
  }

  /**
   * Computes an expert both ways.
   *
   * @param exact the checkpoint's weights
   * @param reduced the same as they were written
   */
  void add(ExpertWeights exact, ExpertWeights reduced) {
    try (Arena arena = Arena.ofConfined()) {
      int values = ROWS * exact.hiddenSize();
      MemorySegment in = arena.allocate(values * 4L, Long.BYTES);
      SplittableRandom random = new SplittableRandom(SEED);
      for (int i = 0; i < values; i++) {
        in.setAtIndex(ValueLayout.JAVA_FLOAT, i, (float) random.nextGaussian());
      }
      float[] right = run(exact, Precision.FP32, in, arena);
      float[] actual = run(reduced, precision, in, arena);
      for (int i = 0; i < values; i++) {
        squaredOutput += (double) right[i] * right[i];
        squaredDifference += ((double) actual[i] - right[i]) * ((double) actual[i] - right[i]);
      }
    }
  }

  private static float[] run(
      ExpertWeights expert, Precision precision, MemorySegment in, Arena arena) {
    MemorySegment out = arena.allocate(in.byteSize(), Long.BYTES);
    // ONNX Runtime has fp16 on the CPU as well, if slowly.
    try (OnnxSession session = OnnxSession.open(OnnxGraph.expert(expert, precision), Device.CPU)) {
      session.run(in, ROWS, out);
    }
    return out.toArray(ValueLayout.JAVA_FLOAT);
  }
}
