package dev.guildhall.router.gate;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT_UNALIGNED;

import dev.guildhall.repository.LayerConfig;
import dev.guildhall.repository.NoisyGatePolicy;
import java.lang.foreign.MemorySegment;

/**
 * Noise on the gate's input (DeepSpeed's {@code multiplicative_jitter}): every element times
 * U(0.99, 1.01). The experts see the input as it was.
 */
public final class Jitter {
  private Jitter() {}

  /** Whether the layer's gate reads a jittered input in this mode. */
  public static boolean applies(LayerConfig config, boolean training) {
    return training && config.noisyGatePolicy() == NoisyGatePolicy.JITTER;
  }

  /**
   * Writes the jittered input.
   *
   * @param hiddenStates [tokens, hiddenSize] fp32, native byte order
   * @param destination [tokens, hiddenSize] fp32; may be {@code hiddenStates} itself
   */
  public static void apply(
      MemorySegment hiddenStates,
      int tokens,
      int hiddenSize,
      NoiseSource noise,
      MemorySegment destination) {
    float[] row = new float[hiddenSize];
    long rowBytes = (long) hiddenSize * Float.BYTES;
    for (int t = 0; t < tokens; t++) {
      MemorySegment.copy(hiddenStates, JAVA_FLOAT_UNALIGNED, t * rowBytes, row, 0, hiddenSize);
      for (int d = 0; d < hiddenSize; d++) {
        row[d] *= noise.jitter(t, d);
      }
      MemorySegment.copy(row, 0, destination, JAVA_FLOAT_UNALIGNED, t * rowBytes, hiddenSize);
    }
  }
}
