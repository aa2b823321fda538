package dev.guildhall.onnx;

import dev.guildhall.error.GuildhallException;
import dev.guildhall.repository.Activation;
import java.lang.foreign.MemorySegment;
import java.util.Optional;

/**
 * The weights of an {@code mlp} expert, {@code fc2(activation(fc1(x)))}: fp32, row-major as PyTorch
 * keeps them, in memory that outlives every session made of them.
 *
 * @param fc1Weight [F, H]
 * @param fc1Bias [F], if there is one
 * @param fc2Weight [H, F]
 * @param fc2Bias [H], if there is one
 * @param hiddenSize H
 * @param ffnSize F
 */
public record MlpTensors(
    MemorySegment fc1Weight,
    Optional<MemorySegment> fc1Bias,
    MemorySegment fc2Weight,
    Optional<MemorySegment> fc2Bias,
    int hiddenSize,
    int ffnSize,
    Activation activation) {

  public MlpTensors {
    if (hiddenSize < 1 || ffnSize < 1) {
      throw GuildhallException.invalidArgument(
          "hidden size %d and ffn size %d must be 1 or more".formatted(hiddenSize, ffnSize));
    }
  }
}
