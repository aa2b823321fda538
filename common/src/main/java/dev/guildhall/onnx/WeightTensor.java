package dev.guildhall.onnx;

import dev.guildhall.error.GuildhallException;
import dev.guildhall.safetensors.StoredTensor;

/**
 * A named tensor of a graph, in memory that somebody else owns (usually a slice of a mapped file),
 * below 2 GiB: fp32, fp16 or bf16.
 *
 * <p>The memory must stay mapped and unchanged until the session that took it is closed.
 */
public record WeightTensor(String name, StoredTensor tensor) {
  /** What a {@link java.nio.ByteBuffer}, the only door into ONNX Runtime's Java API, can hold. */
  static final long MAX_BYTES = Integer.MAX_VALUE - 64L;

  public WeightTensor {
    if (tensor.shape().stream().anyMatch(dimension -> dimension < 1)) {
      throw GuildhallException.invalidArgument(
          "tensor %s has shape %s; every dimension must be 1 or more"
              .formatted(name, tensor.shape()));
    }
    if (tensor.data().byteSize() > MAX_BYTES) {
      throw GuildhallException.invalidArgument(
          "tensor %s %s takes %d bytes; a tensor must stay below 2 GiB (%d bytes)"
              .formatted(name, tensor.shape(), tensor.data().byteSize(), MAX_BYTES));
    }
  }

  long[] dimensions() {
    return tensor.shape().stream().mapToLong(Long::longValue).toArray();
  }
}
