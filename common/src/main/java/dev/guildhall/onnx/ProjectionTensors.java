package dev.guildhall.onnx;

import dev.guildhall.error.GuildhallException;
import java.lang.foreign.MemorySegment;
import java.util.Optional;

/**
 * The weights that a router multiplies hidden states with: fp32, row-major as PyTorch keeps them,
 * in memory that outlives every session made of them.
 *
 * @param gateWeight [E, H]
 * @param coefficient of a layer with a residual expert
 * @param hiddenSize H
 * @param numExperts E
 */
public record ProjectionTensors(
    MemorySegment gateWeight, Optional<Coefficient> coefficient, int hiddenSize, int numExperts) {

  /**
   * How the residual expert is mixed in.
   *
   * @param weight [2, H]
   * @param bias [2]
   */
  public record Coefficient(MemorySegment weight, MemorySegment bias) {}

  public ProjectionTensors {
    if (hiddenSize < 1 || numExperts < 1) {
      throw GuildhallException.invalidArgument(
          "hidden size %d and %d experts must be 1 or more".formatted(hiddenSize, numExperts));
    }
  }
}
