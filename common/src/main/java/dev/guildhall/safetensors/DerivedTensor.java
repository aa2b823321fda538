package dev.guildhall.safetensors;

import dev.guildhall.tensor.DType;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.List;
import java.util.function.Function;

/**
 * A tensor that is made of others when it is read, so that no more than one has to fit in memory.
 *
 * @param make its bytes, in an arena
 */
public record DerivedTensor(DType dtype, List<Long> shape, Function<Arena, MemorySegment> make)
    implements TensorSource {
  public DerivedTensor {
    shape = List.copyOf(shape);
  }

  @Override
  public StoredTensor read(Arena arena) {
    return new StoredTensor(dtype, shape, make.apply(arena));
  }
}
