package dev.guildhall.safetensors;

import dev.guildhall.tensor.DType;
import java.lang.foreign.Arena;
import java.util.List;

/** A tensor that is there, or is made when somebody reads it. */
public sealed interface TensorSource permits StoredTensor, DerivedTensor {
  DType dtype();

  /** Dimensions, outermost first. */
  List<Long> shape();

  /**
   * The tensor itself.
   *
   * @param arena holds what has to be made
   */
  StoredTensor read(Arena arena);

  /** What its shape takes. */
  default long bytes() {
    return shape().stream().reduce((long) dtype().bytes(), Math::multiplyExact);
  }
}
