package dev.guildhall.safetensors;

import dev.guildhall.tensor.DType;
import java.lang.foreign.MemorySegment;
import java.util.List;

/**
 * A tensor in memory or mapped from a file.
 *
 * @param shape dimensions, outermost first
 * @param data row-major, little-endian, without padding; of a mapped file: valid while it is open
 */
public record StoredTensor(DType dtype, List<Long> shape, MemorySegment data) {
  public StoredTensor {
    shape = List.copyOf(shape);
  }

  /** Number of elements. */
  public long elements() {
    return data.byteSize() / dtype.bytes();
  }
}
