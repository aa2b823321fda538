package dev.guildhall.checkpoint.torch;

import dev.guildhall.error.ErrorCode;
import dev.guildhall.error.GuildhallException;
import dev.guildhall.safetensors.MappedFile;
import dev.guildhall.safetensors.StoredTensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * An open file of torch.save, memory-mapped: opening reads the pickle and the archive's directory,
 * a tensor's bytes are read from disk when they are touched. Files of any size.
 *
 * <p>Safe with files of unknown origin: a pickle is a program, and this reader lets it make tensors
 * and plain values only. It names anything else that the pickle asks for and refuses the file.
 *
 * <p>Any thread may read. After {@link #close} the tensors' memory must not be touched; an attempt
 * from Java throws.
 */
public final class TorchFile implements AutoCloseable {
  private final Path path;
  private final Arena arena;
  private final Map<String, StoredTensor> tensors;
  private final Map<String, Object> values;

  private TorchFile(
      Path path, Arena arena, Map<String, StoredTensor> tensors, Map<String, Object> values) {
    this.path = path;
    this.arena = arena;
    this.tensors = Collections.unmodifiableMap(tensors);
    this.values = Collections.unmodifiableMap(values);
  }

  /**
   * Opens a file that holds a dict, for example a module's state_dict.
   *
   * @throws GuildhallException NOT_FOUND if there is none; INVALID_ARGUMENT naming the file and
   *     what is wrong with it; RESOURCE_EXHAUSTED if tensors that are not contiguous take too much
   *     memory
   */
  public static TorchFile open(Path path) {
    return MappedFile.open(path, TorchFile::read);
  }

  private static TorchFile read(Path path, MemorySegment file, Arena arena) {
    TorchArchive archive = TorchArchive.read(file);
    byte[] pickle = archive.pickle();
    if (!(TorchUnpickler.read(pickle) instanceof Map<?, ?> dict)) {
      throw Refusal.of("the file does not hold a dict of tensors");
    }
    FlatNames names = new FlatNames(dict, pickle.length);
    RowMajor rowMajor = new RowMajor(archive, arena, file.byteSize());
    Map<String, StoredTensor> tensors = new LinkedHashMap<>();
    names.tensors().forEach((name, view) -> tensors.put(name, named(name, view, rowMajor)));
    return new TorchFile(path, arena, tensors, names.values());
  }

  private static StoredTensor named(String name, TensorView view, RowMajor rowMajor) {
    try {
      return rowMajor.tensor(view);
    } catch (GuildhallException e) {
      throw new GuildhallException(
          e.code(), "tensor \"%s\": %s".formatted(Refusal.shown(name), e.getMessage()), e);
    }
  }

  public Path path() {
    return path;
  }

  /**
   * All tensors in the file's order, row-major and contiguous, by name: the keys of nested dicts
   * and the indices of lists joined by dots, for example {@code module.gate.wg.weight}. Mapped from
   * the file, except those that are not contiguous there.
   */
  public Map<String, StoredTensor> tensors() {
    return tensors;
  }

  /**
   * One tensor.
   *
   * @throws GuildhallException NOT_FOUND naming the file
   */
  public StoredTensor tensor(String name) {
    StoredTensor tensor = tensors.get(name);
    if (tensor == null) {
      throw new GuildhallException(
          ErrorCode.NOT_FOUND,
          "%s has no tensor \"%s\"; it has %d others".formatted(path, name, tensors.size()));
    }
    return tensor;
  }

  /**
   * Plain values by name, as with tensors: {@code Boolean}, {@code Long}, {@code Double} and {@code
   * String}, the latter for types ({@code torch.bfloat16}) and devices ({@code cuda:0}) as well.
   */
  public Map<String, Object> values() {
    return values;
  }

  @Override
  public void close() {
    arena.close();
  }
}
