package dev.guildhall.checkpoint.huggingface;

import static java.lang.foreign.ValueLayout.JAVA_INT_UNALIGNED;
import static java.lang.foreign.ValueLayout.JAVA_SHORT_UNALIGNED;

import dev.guildhall.error.ErrorCode;
import dev.guildhall.error.GuildhallException;
import dev.guildhall.safetensors.DerivedTensor;
import dev.guildhall.safetensors.StoredTensor;
import dev.guildhall.safetensors.TensorSource;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * gpt_oss keeps all experts of a block in one tensor, input first, the columns of gate and up
 * alternating; here each becomes maps of its own, as torch.nn.Linear keeps them.
 *
 * @param block the block's tensors
 */
record GptOssExperts(Map<String, TensorSource> block, String prefix, int experts) {
  /** Columns that are copied together, so that what is read of a row is used at once. */
  private static final int TILE = 32;

  /** The block's tensors with the experts' apart, transposed when they are read. */
  Map<String, TensorSource> apart() {
    Map<String, TensorSource> tensors = new LinkedHashMap<>(block);
    StoredTensor gateUp = stacked(tensors, "gate_up_proj", 3);
    StoredTensor gateUpBias = stacked(tensors, "gate_up_proj_bias", 2);
    StoredTensor down = stacked(tensors, "down_proj", 3);
    StoredTensor downBias = stacked(tensors, "down_proj_bias", 2);
    checkPairs(gateUp);
    checkPairs(gateUpBias);
    for (int expert = 0; expert < experts; expert++) {
      String name = "%s.experts.%d.".formatted(prefix, expert);
      StoredTensor both = slice(gateUp, expert);
      StoredTensor bothBias = row(slice(gateUpBias, expert));
      tensors.put(name + "gate_proj.weight", transposed(both, 0, 2));
      tensors.put(name + "gate_proj.bias", vector(transposed(bothBias, 0, 2)));
      tensors.put(name + "up_proj.weight", transposed(both, 1, 2));
      tensors.put(name + "up_proj.bias", vector(transposed(bothBias, 1, 2)));
      tensors.put(name + "down_proj.weight", transposed(slice(down, expert), 0, 1));
      tensors.put(name + "down_proj.bias", slice(downBias, expert));
    }
    return tensors;
  }

  private StoredTensor stacked(Map<String, TensorSource> tensors, String name, int dimensions) {
    String full = prefix + ".experts." + name;
    if (!(tensors.remove(full) instanceof StoredTensor tensor)) {
      throw new GuildhallException(
          ErrorCode.NOT_FOUND, "the checkpoint has no tensor \"%s\"".formatted(full));
    }
    if (tensor.shape().size() != dimensions || tensor.shape().getFirst() != experts) {
      throw GuildhallException.invalidArgument(
          "tensor \"%s\" has shape %s; allowed are %d dimensions, the first of %d experts"
              .formatted(full, tensor.shape(), dimensions, experts));
    }
    return tensor;
  }

  private void checkPairs(StoredTensor gateUp) {
    if (gateUp.shape().getLast() % 2 != 0) {
      throw GuildhallException.invalidArgument(
          "%s.experts: gate_up has shape %s; allowed is an even number of columns, gate and up in turn"
              .formatted(prefix, gateUp.shape()));
    }
  }

  private static StoredTensor slice(StoredTensor stacked, int expert) {
    long bytes = stacked.data().byteSize() / stacked.shape().getFirst();
    return new StoredTensor(
        stacked.dtype(),
        stacked.shape().subList(1, stacked.shape().size()),
        stacked.data().asSlice(expert * bytes, bytes));
  }

  private static StoredTensor row(StoredTensor vector) {
    return new StoredTensor(vector.dtype(), List.of(1L, vector.shape().getFirst()), vector.data());
  }

  private static DerivedTensor vector(DerivedTensor column) {
    return new DerivedTensor(column.dtype(), column.shape().subList(0, 1), column.make());
  }

  /** Columns first, first + step, ... of [in, columns] as [columns / step, in]. */
  private static DerivedTensor transposed(StoredTensor from, int first, int step) {
    List<Long> shape = List.of(from.shape().getLast() / step, from.shape().getFirst());
    return new DerivedTensor(from.dtype(), shape, arena -> transpose(from, first, step, arena));
  }

  private static MemorySegment transpose(StoredTensor from, int first, int step, Arena arena) {
    long in = from.shape().getFirst();
    long columns = from.shape().getLast();
    long out = columns / step;
    int bytes = from.dtype().bytes();
    MemorySegment to = arena.allocate(in * out * bytes, Long.BYTES);
    for (long tile = 0; tile < out; tile += TILE) {
      long end = Math.min(tile + TILE, out);
      for (long i = 0; i < in; i++) {
        for (long o = tile; o < end; o++) {
          long at = (i * columns + o * step + first) * bytes;
          copyElement(from.data(), at, to, (o * in + i) * bytes, bytes);
        }
      }
    }
    return to;
  }

  /** A bulk copy of so few bytes would take ten times as long. */
  private static void copyElement(
      MemorySegment from, long at, MemorySegment to, long toAt, int bytes) {
    if (bytes == Short.BYTES) {
      to.set(JAVA_SHORT_UNALIGNED, toAt, from.get(JAVA_SHORT_UNALIGNED, at));
    } else if (bytes == Integer.BYTES) {
      to.set(JAVA_INT_UNALIGNED, toAt, from.get(JAVA_INT_UNALIGNED, at));
    } else {
      MemorySegment.copy(from, at, to, toAt, bytes);
    }
  }
}
