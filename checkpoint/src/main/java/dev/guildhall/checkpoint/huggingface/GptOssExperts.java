package dev.guildhall.checkpoint.huggingface;

import static java.lang.foreign.ValueLayout.JAVA_INT_UNALIGNED;
import static java.lang.foreign.ValueLayout.JAVA_SHORT_UNALIGNED;

import dev.guildhall.error.GuildhallException;
import dev.guildhall.proto.MoeLayerConfig;
import dev.guildhall.safetensors.StoredTensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * gpt_oss keeps all experts of a block in one tensor, input first, the columns of gate and up
 * alternating; here each becomes maps of its own, as torch.nn.Linear keeps them.
 */
record GptOssExperts(Shards shards, String prefix, MoeLayerConfig config) {

  /** The block's tensors; the experts' are copies in the arena. */
  Map<String, StoredTensor> tensors(Arena arena) {
    if (shards.has(prefix + ".experts.gate_up_proj_blocks")) {
      throw GuildhallException.invalidArgument(
          "%s.experts is stored as MXFP4; allowed are BF16, FP16 and FP32: save it dequantized"
              .formatted(prefix));
    }
    Map<String, StoredTensor> tensors = new LinkedHashMap<>();
    for (String router : List.of(".router.weight", ".router.bias")) {
      tensors.put(prefix + router, shards.tensor(prefix + router));
    }
    int experts = config.getNumExperts();
    StoredTensor gateUp = stacked("gate_up_proj", experts, 3);
    StoredTensor gateUpBias = stacked("gate_up_proj_bias", experts, 2);
    StoredTensor down = stacked("down_proj", experts, 3);
    StoredTensor downBias = stacked("down_proj_bias", experts, 2);
    for (int expert = 0; expert < experts; expert++) {
      String name = "%s.experts.%d.".formatted(prefix, expert);
      StoredTensor both = slice(gateUp, expert);
      StoredTensor bothBias = slice(gateUpBias, expert);
      tensors.put(name + "gate_proj.weight", transposed(arena, both, 0, 2));
      tensors.put(name + "gate_proj.bias", everySecond(arena, bothBias, 0));
      tensors.put(name + "up_proj.weight", transposed(arena, both, 1, 2));
      tensors.put(name + "up_proj.bias", everySecond(arena, bothBias, 1));
      tensors.put(name + "down_proj.weight", transposed(arena, slice(down, expert), 0, 1));
      tensors.put(name + "down_proj.bias", slice(downBias, expert));
    }
    return tensors;
  }

  private StoredTensor stacked(String name, int experts, int dimensions) {
    String full = prefix + ".experts." + name;
    StoredTensor tensor = shards.tensor(full);
    if (tensor.shape().size() != dimensions || tensor.shape().getFirst() != experts) {
      throw GuildhallException.invalidArgument(
          "tensor \"%s\" has shape %s; allowed are %d dimensions, the first of %d experts"
              .formatted(full, tensor.shape(), dimensions, experts));
    }
    return tensor;
  }

  private static StoredTensor slice(StoredTensor stacked, int expert) {
    long bytes = stacked.data().byteSize() / stacked.shape().getFirst();
    return new StoredTensor(
        stacked.dtype(),
        stacked.shape().subList(1, stacked.shape().size()),
        stacked.data().asSlice(expert * bytes, bytes));
  }

  /** Columns first, first + step, ... of [in, columns] as [columns / step, in]. */
  private static StoredTensor transposed(Arena arena, StoredTensor from, int first, int step) {
    long in = from.shape().getFirst();
    long columns = from.shape().getLast();
    long out = columns / step;
    int bytes = from.dtype().bytes();
    MemorySegment to = arena.allocate(in * out * bytes, Long.BYTES);
    for (long o = 0; o < out; o++) {
      for (long i = 0; i < in; i++) {
        copyElement(
            from.data(), (i * columns + o * step + first) * bytes, to, (o * in + i) * bytes, bytes);
      }
    }
    return new StoredTensor(from.dtype(), List.of(out, in), to);
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

  private static StoredTensor everySecond(Arena arena, StoredTensor from, int first) {
    StoredTensor row =
        new StoredTensor(from.dtype(), List.of(1L, from.shape().getFirst()), from.data());
    StoredTensor column = transposed(arena, row, first, 2);
    return new StoredTensor(column.dtype(), List.of(column.elements()), column.data());
  }
}
