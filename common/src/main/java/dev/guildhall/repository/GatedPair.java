package dev.guildhall.repository;

import dev.guildhall.safetensors.StoredTensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;

/** The two maps that a gated MLP begins with, each [F, H]. */
record GatedPair(Linear gate, Linear up) {

  /**
   * Of one map that holds both. Rows that alternate are copied, others are not.
   *
   * @param both [2 F, H]
   */
  static GatedPair of(Linear both, boolean interleaved) {
    StoredTensor gate = half(both.weight(), 0, interleaved);
    StoredTensor up = half(both.weight(), 1, interleaved);
    return new GatedPair(
        new Linear(gate, both.bias().map(bias -> half(bias, 0, interleaved))),
        new Linear(up, both.bias().map(bias -> half(bias, 1, interleaved))));
  }

  private static StoredTensor half(StoredTensor both, int which, boolean interleaved) {
    long rows = both.shape().getFirst() / 2;
    List<Long> shape = new ArrayList<>(both.shape());
    shape.set(0, rows);
    long bytes = both.data().byteSize() / 2;
    if (!interleaved) {
      return new StoredTensor(both.dtype(), shape, both.data().asSlice(which * bytes, bytes));
    }
    long rowBytes = bytes / rows;
    MemorySegment copy = Arena.ofAuto().allocate(bytes, Long.BYTES);
    for (long row = 0; row < rows; row++) {
      MemorySegment.copy(both.data(), (2 * row + which) * rowBytes, copy, row * rowBytes, rowBytes);
    }
    return new StoredTensor(both.dtype(), shape, copy);
  }
}
