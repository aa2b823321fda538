package dev.guildhall.safetensors;

import dev.guildhall.tensor.DType;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.List;

/**
 * A tensor in memory or mapped from a file.
 *
 * @param shape dimensions, outermost first
 * @param data row-major, little-endian, without padding; of a mapped file: valid while it is open
 */
public record StoredTensor(DType dtype, List<Long> shape, MemorySegment data)
    implements TensorSource {
  public StoredTensor {
    shape = List.copyOf(shape);
    if (needed(dtype, shape) != data.byteSize()) {
      throw new IllegalArgumentException(
          "shape is %s of %s; the data has %d bytes".formatted(shape, dtype, data.byteSize()));
    }
  }

  /** What the shape takes; -1 if no memory is so large. */
  private static long needed(DType dtype, List<Long> shape) {
    long bytes = dtype.bytes();
    for (long dimension : shape) {
      if (dimension < 0 || Math.multiplyHigh(bytes, dimension) != 0) {
        return -1;
      }
      bytes *= dimension;
    }
    return bytes;
  }

  @Override
  public StoredTensor read(Arena arena) {
    return this;
  }

  /**
   * Whether it can be computed with where it lies: in native memory, at a multiple of 4 bytes. A
   * .safetensors header is not bound to such a length, so a whole file may lie askew.
   */
  public boolean inPlace() {
    return data.isNative() && data.address() % Float.BYTES == 0;
  }

  /** Number of elements. */
  public long elements() {
    return data.byteSize() / dtype.bytes();
  }
}
