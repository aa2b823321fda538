package dev.guildhall.onnx;

import dev.guildhall.repository.Activation;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Optional;
import java.util.SplittableRandom;

/** Random mlp experts and what they compute, naively and in double precision. */
public final class MlpReference {
  private MlpReference() {}

  public static MlpTensors random(
      Arena arena, int hidden, int ffn, Activation activation, boolean bias, long seed) {
    SplittableRandom random = new SplittableRandom(seed);
    double scale = 1 / Math.sqrt(hidden);
    return new MlpTensors(
        floats(arena, (long) ffn * hidden, scale, random),
        bias ? Optional.of(floats(arena, ffn, scale, random)) : Optional.empty(),
        floats(arena, (long) hidden * ffn, 1 / Math.sqrt(ffn), random),
        bias ? Optional.of(floats(arena, hidden, scale, random)) : Optional.empty(),
        hidden,
        ffn,
        activation);
  }

  /** Uniform in (-scale, scale). */
  public static MemorySegment floats(
      Arena arena, long count, double scale, SplittableRandom random) {
    MemorySegment memory = arena.allocate(count * Float.BYTES, 64);
    for (long i = 0; i < count; i++) {
      set(memory, i, (float) (random.nextDouble(-1, 1) * scale));
    }
    return memory;
  }

  public static float get(MemorySegment memory, long index) {
    return memory.get(ValueLayout.JAVA_FLOAT_UNALIGNED, index * Float.BYTES);
  }

  public static void set(MemorySegment memory, long index, float value) {
    memory.set(ValueLayout.JAVA_FLOAT_UNALIGNED, index * Float.BYTES, value);
  }

  /** [rows, H] to [rows, H]. */
  public static double[] mlp(MlpTensors mlp, MemorySegment in, int rows) {
    double[] x = new double[rows * mlp.hiddenSize()];
    for (int i = 0; i < x.length; i++) {
      x[i] = get(in, i);
    }
    double[] inner = linear(x, rows, mlp.fc1Weight(), mlp.fc1Bias(), mlp.ffnSize());
    for (int i = 0; i < inner.length; i++) {
      inner[i] = activate(mlp.activation(), inner[i]);
    }
    return linear(inner, rows, mlp.fc2Weight(), mlp.fc2Bias(), mlp.hiddenSize());
  }

  /** [rows, in] · [out, in]ᵀ + [out]. */
  public static double[] linear(
      double[] x, int rows, MemorySegment weight, Optional<MemorySegment> bias, int outWidth) {
    int inWidth = x.length / rows;
    double[] y = new double[rows * outWidth];
    for (int o = 0; o < outWidth; o++) {
      double start = bias.isPresent() ? get(bias.get(), o) : 0;
      for (int r = 0; r < rows; r++) {
        double sum = start;
        for (int i = 0; i < inWidth; i++) {
          sum += x[r * inWidth + i] * get(weight, (long) o * inWidth + i);
        }
        y[r * outWidth + o] = sum;
      }
    }
    return y;
  }

  private static double activate(Activation activation, double x) {
    return switch (activation) {
      case RELU -> Math.max(0, x);
      case GELU -> x / 2 * (1 + erf(x / Math.sqrt(2)));
      case GELU_TANH ->
          x / 2 * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x * x * x)));
      case SILU -> x / (1 + Math.exp(-x));
    };
  }

  /** By its Maclaurin series, which is exact enough for the small arguments here. */
  private static double erf(double x) {
    double term = x;
    double sum = x;
    for (int n = 1; Math.abs(term) > 1e-17 && n < 200; n++) {
      term *= -x * x / n;
      sum += term / (2 * n + 1);
    }
    return 2 / Math.sqrt(Math.PI) * sum;
  }
}
