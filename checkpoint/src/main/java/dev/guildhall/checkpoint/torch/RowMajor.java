package dev.guildhall.checkpoint.torch;

import static dev.guildhall.checkpoint.torch.Refusal.check;

import dev.guildhall.error.ErrorCode;
import dev.guildhall.error.GuildhallException;
import dev.guildhall.safetensors.StoredTensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.IdentityHashMap;
import java.util.List;

/**
 * Turns views of storages into row-major tensors: a slice of the file where the view is that
 * already, otherwise a copy in native memory. A view that occurs twice gives the same tensor; all
 * copies together are no larger than the file.
 */
final class RowMajor {
  private final TorchArchive archive;
  private final Arena arena;
  private final long maxCopiedBytes;
  private final IdentityHashMap<TensorView, StoredTensor> known = new IdentityHashMap<>();
  private long copiedBytes;

  /**
   * For the tensors of one file.
   *
   * @param arena of the copies
   */
  RowMajor(TorchArchive archive, Arena arena, long fileBytes) {
    this.archive = archive;
    this.arena = arena;
    this.maxCopiedBytes = fileBytes;
  }

  StoredTensor tensor(TensorView view) {
    return known.computeIfAbsent(view, this::read);
  }

  private StoredTensor read(TensorView view) {
    MemorySegment storage = archive.storage(view.storage());
    int elementBytes = view.storage().dtype().bytes();
    long bytes = view.elements() * elementBytes;
    MemorySegment data =
        view.contiguous()
            ? storage.asSlice(bytes == 0 ? 0 : view.offset() * elementBytes, bytes)
            : copy(storage, view, bytes);
    return new StoredTensor(view.storage().dtype(), view.shape(), data);
  }

  private MemorySegment copy(MemorySegment storage, TensorView view, long bytes) {
    check(
        bytes <= maxCopiedBytes - copiedBytes,
        "the tensors that are no contiguous ranges of their storages take more than the file's %d"
            + " bytes; save contiguous() ones",
        maxCopiedBytes);
    copiedBytes += bytes;
    MemorySegment copy = allocate(bytes);
    int elementBytes = view.storage().dtype().bytes();
    Walk walk = new Walk(view);
    for (long to = 0; to < bytes; to += elementBytes) {
      MemorySegment.copy(storage, walk.next() * elementBytes, copy, to, elementBytes);
    }
    return copy;
  }

  private MemorySegment allocate(long bytes) {
    try {
      return arena.allocate(bytes);
    } catch (OutOfMemoryError e) {
      throw new GuildhallException(
          ErrorCode.RESOURCE_EXHAUSTED,
          "a tensor that is no contiguous range of its storage needs %d bytes of native memory: %s"
              .formatted(bytes, e.getMessage()),
          e);
    }
  }

  /** Goes through a view's elements in row-major order. */
  private static final class Walk {
    private final long[] shape;
    private final long[] strides;
    private final long[] index;
    private long at;

    Walk(TensorView view) {
      // Dimensions of 1 would only make each step longer.
      List<Integer> dimensions = new ArrayList<>();
      for (int i = 0; i < view.shape().size(); i++) {
        if (view.shape().get(i) != 1) {
          dimensions.add(i);
        }
      }
      shape = dimensions.stream().mapToLong(i -> view.shape().get(i)).toArray();
      strides = dimensions.stream().mapToLong(i -> view.strides().get(i)).toArray();
      index = new long[shape.length];
      at = view.offset();
    }

    /** The element's place in the storage. */
    long next() {
      long here = at;
      for (int i = shape.length - 1; i >= 0; i--) {
        at += strides[i];
        index[i]++;
        if (index[i] < shape[i]) {
          break;
        }
        at -= strides[i] * shape[i];
        index[i] = 0;
      }
      return here;
    }
  }
}
