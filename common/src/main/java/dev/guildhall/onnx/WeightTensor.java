package dev.guildhall.onnx;

import dev.guildhall.error.GuildhallException;
import java.lang.foreign.MemorySegment;
import java.util.List;

/**
 * A named fp32 tensor of a graph, in memory that somebody else owns (usually a slice of a mapped
 * file): row-major, native byte order, below 2 GiB.
 *
 * <p>The memory must stay mapped and unchanged until the session that took it is closed.
 */
public record WeightTensor(String name, List<Integer> shape, MemorySegment data) {
  /** What a {@link java.nio.ByteBuffer}, the only door into ONNX Runtime's Java API, can hold. */
  static final long MAX_BYTES = Integer.MAX_VALUE - 64L;

  public WeightTensor {
    shape = List.copyOf(shape);
    long bytes = Float.BYTES;
    for (int dimension : shape) {
      if (dimension < 1) {
        throw GuildhallException.invalidArgument(
            "tensor " + name + " has shape " + shape + "; every dimension must be 1 or more");
      }
      bytes = Math.multiplyExact(bytes, dimension);
    }
    if (bytes > MAX_BYTES) {
      throw GuildhallException.invalidArgument(
          "tensor %s %s takes %d bytes; a tensor must stay below 2 GiB (%d bytes)"
              .formatted(name, shape, bytes, MAX_BYTES));
    }
    if (data.byteSize() != bytes) {
      throw GuildhallException.invalidArgument(
          "tensor %s %s holds %d bytes; fp32 of that shape takes %d"
              .formatted(name, shape, data.byteSize(), bytes));
    }
  }

  long[] dimensions() {
    return shape.stream().mapToLong(Integer::longValue).toArray();
  }
}
