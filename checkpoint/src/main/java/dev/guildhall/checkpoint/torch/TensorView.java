package dev.guildhall.checkpoint.torch;

import static dev.guildhall.checkpoint.torch.Refusal.check;

import dev.guildhall.tensor.DType;
import java.util.List;

/**
 * A tensor as torch stores it: a view of a storage, which other tensors may share. No element of it
 * lies outside the storage.
 *
 * @param offset of the first element in the storage, in elements
 * @param shape dimensions, outermost first
 * @param strides steps from one index to the next in elements, one a dimension
 */
record TensorView(Storage storage, long offset, List<Long> shape, List<Long> strides) {
  /** As in torch. */
  static final int MAX_DIMENSIONS = 64;

  /**
   * Elements in an entry of the archive.
   *
   * @param key the entry's name within {@code data/}
   */
  record Storage(DType dtype, String key, long elements) {
    Storage {
      check(elements >= 0, "storage \"%s\" has %d elements", Refusal.shown(key), elements);
    }
  }

  TensorView {
    shape = List.copyOf(shape);
    strides = List.copyOf(strides);
    check(
        shape.size() == strides.size() && shape.size() <= MAX_DIMENSIONS,
        "a tensor has %d dimensions and %d strides; allowed are up to %d, as many of each",
        shape.size(),
        strides.size(),
        MAX_DIMENSIONS);
    check(
        shape.stream().allMatch(dimension -> dimension >= 0)
            && strides.stream().allMatch(stride -> stride >= 0),
        "a tensor has the shape %s and the strides %s; allowed are numbers from 0",
        shape,
        strides);
    boolean inside;
    try {
      inside =
          offset >= 0 && end(storage.dtype().bytes(), offset, shape, strides) <= storage.elements();
    } catch (ArithmeticException e) {
      inside = false;
    }
    check(
        inside,
        "a tensor reaches outside its storage: shape %s, strides %s, from element %d of %d",
        shape,
        strides,
        offset,
        storage.elements());
  }

  /** Behind the last element; throws when a number is too large. */
  private static long end(int elementBytes, long offset, List<Long> shape, List<Long> strides) {
    // So that the tensor's size is exact too, whatever the strides.
    long bytes = elementBytes;
    long last = offset;
    for (int i = 0; i < shape.size(); i++) {
      if (shape.get(i) == 0) {
        return offset;
      }
      bytes = Math.multiplyExact(bytes, shape.get(i));
      last = Math.addExact(last, Math.multiplyExact(shape.get(i) - 1, strides.get(i)));
    }
    return Math.addExact(last, 1);
  }

  /** Number of elements. */
  long elements() {
    long elements = 1;
    for (long dimension : shape) {
      if (dimension == 0) {
        return 0;
      }
      elements *= dimension;
    }
    return elements;
  }

  /** Whether the elements lie in row-major order without gaps. */
  boolean contiguous() {
    if (elements() == 0) {
      return true;
    }
    long due = 1;
    for (int i = shape.size() - 1; i >= 0; i--) {
      if (shape.get(i) != 1) {
        if (strides.get(i) != due) {
          return false;
        }
        due *= shape.get(i);
      }
    }
    return true;
  }
}
