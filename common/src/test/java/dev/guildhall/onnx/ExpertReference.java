package dev.guildhall.onnx;

import dev.guildhall.repository.Activation;
import dev.guildhall.repository.ExpertWeights;
import dev.guildhall.repository.Linear;
import dev.guildhall.safetensors.StoredTensor;
import dev.guildhall.tensor.DType;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import java.util.Optional;
import java.util.SplittableRandom;

/** Random experts and what they compute, naively and in double precision. */
public final class ExpertReference {
  private ExpertReference() {}

  public static ExpertWeights.Mlp mlp(
      Arena arena, int hidden, int ffn, Activation activation, boolean bias, long seed) {
    SplittableRandom random = new SplittableRandom(seed);
    return new ExpertWeights.Mlp(
        linear(arena, ffn, hidden, bias, random),
        activation,
        linear(arena, hidden, ffn, bias, random));
  }

  public static ExpertWeights.GatedMlp gatedMlp(
      Arena arena,
      int hidden,
      int ffn,
      Activation activation,
      Optional<Double> swigluLimit,
      long seed) {
    SplittableRandom random = new SplittableRandom(seed);
    return new ExpertWeights.GatedMlp(
        linear(arena, ffn, hidden, true, random),
        linear(arena, ffn, hidden, false, random),
        activation,
        swigluLimit,
        linear(arena, hidden, ffn, true, random));
  }

  public static Linear linear(Arena arena, int out, int in, boolean bias, SplittableRandom random) {
    double scale = 1 / Math.sqrt(in);
    return new Linear(
        tensor(floats(arena, (long) out * in, scale, random), out, in),
        bias ? Optional.of(tensor(floats(arena, out, scale, random), out)) : Optional.empty());
  }

  public static StoredTensor tensor(MemorySegment fp32, long... shape) {
    return new StoredTensor(DType.FP32, Arrays.stream(shape).boxed().toList(), fp32);
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
  public static double[] compute(ExpertWeights expert, MemorySegment in, int rows) {
    double[] x = new double[rows * expert.hiddenSize()];
    for (int i = 0; i < x.length; i++) {
      x[i] = get(in, i);
    }
    return switch (expert) {
      case ExpertWeights.Mlp mlp -> {
        double[] inner = linear(x, rows, mlp.fc1());
        for (int i = 0; i < inner.length; i++) {
          inner[i] = activate(mlp.activation(), inner[i]);
        }
        yield linear(inner, rows, mlp.fc2());
      }
      case ExpertWeights.GatedMlp gated -> {
        double[] gate = linear(x, rows, gated.gate());
        double[] up = linear(x, rows, gated.up());
        for (int i = 0; i < gate.length; i++) {
          gate[i] = gated(gated, gate[i], up[i]);
        }
        yield linear(gate, rows, gated.down());
      }
    };
  }

  private static double gated(ExpertWeights.GatedMlp expert, double gate, double up) {
    if (expert.swigluLimit().isEmpty()) {
      return activate(expert.activation(), gate) * up;
    }
    double limit = expert.swigluLimit().get();
    double g = Math.min(gate, limit);
    return (Math.clamp(up, -limit, limit) + 1) * g / (1 + Math.exp(-1.702 * g));
  }

  /** [rows, in] · [out, in]ᵀ + [out]. */
  public static double[] linear(double[] x, int rows, Linear map) {
    int inWidth = map.inSize();
    int outWidth = map.outSize();
    MemorySegment weight = map.weight().data();
    double[] y = new double[rows * outWidth];
    for (int o = 0; o < outWidth; o++) {
      double start = map.bias().isPresent() ? get(map.bias().get().data(), o) : 0;
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
