package dev.guildhall.safetensors;

import dev.guildhall.error.ErrorCode;
import dev.guildhall.error.GuildhallException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.stream.Collectors;

/**
 * An open .safetensors file (github.com/huggingface/safetensors), memory-mapped: opening reads the
 * header, a tensor's bytes are read from disk when they are touched. Files of any size.
 *
 * <p>Any thread may read. After {@link #close} the tensors' memory must not be touched; an attempt
 * from Java throws.
 */
public final class SafetensorsFile implements AutoCloseable {
  /** The cap of the format's own reader. */
  private static final long MAX_HEADER_BYTES = 100_000_000;

  private static final ValueLayout.OfLong LENGTH =
      ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

  private final Path path;
  private final Arena arena;
  private final MemorySegment file;
  private final Map<String, StoredTensor> tensors;
  private final Map<String, String> metadata;

  private SafetensorsFile(
      Path path,
      Arena arena,
      MemorySegment file,
      Map<String, StoredTensor> tensors,
      Map<String, String> metadata) {
    this.path = path;
    this.arena = arena;
    this.file = file;
    this.tensors = Collections.unmodifiableMap(tensors);
    this.metadata = Collections.unmodifiableMap(metadata);
  }

  /**
   * Opens a file.
   *
   * @throws GuildhallException NOT_FOUND if there is none; INVALID_ARGUMENT naming the file, the
   *     tensor and what is wrong with it
   */
  public static SafetensorsFile open(Path path) {
    return MappedFile.open(path, SafetensorsFile::read);
  }

  private static SafetensorsFile read(Path path, MemorySegment file, Arena arena) {
    long headerBytes = file.byteSize() < Long.BYTES ? -1 : file.get(LENGTH, 0);
    if (headerBytes < 0
        || headerBytes > MAX_HEADER_BYTES
        || headerBytes > file.byteSize() - Long.BYTES) {
      throw GuildhallException.invalidArgument(
          "the header's length is %d; the file has %d bytes and a header up to %d"
              .formatted(headerBytes, file.byteSize(), MAX_HEADER_BYTES));
    }
    MemorySegment data = file.asSlice(Long.BYTES + headerBytes);
    SafetensorsHeader header =
        SafetensorsHeader.parse(utf8(file.asSlice(Long.BYTES, headerBytes)), data.byteSize());
    Map<String, StoredTensor> tensors = new LinkedHashMap<>();
    header
        .tensors()
        .forEach((name, entry) ->
            tensors.put(
                name,
                new StoredTensor(
                    entry.dtype(),
                    entry.shape(),
                    data.asSlice(entry.begin(), entry.end() - entry.begin()))));
    return new SafetensorsFile(path, arena, file, tensors, header.metadata());
  }

  private static String utf8(MemorySegment bytes) {
    try {
      return StandardCharsets.UTF_8.newDecoder().decode(bytes.asByteBuffer()).toString();
    } catch (CharacterCodingException e) {
      throw GuildhallException.invalidArgument("the header is not UTF-8");
    }
  }

  public Path path() {
    return path;
  }

  /** All tensors by name, in the header's order. */
  public Map<String, StoredTensor> tensors() {
    return tensors;
  }

  /** What stands under {@code __metadata__}. */
  public Map<String, String> metadata() {
    return metadata;
  }

  /**
   * One tensor.
   *
   * @throws GuildhallException NOT_FOUND naming the file and some of the tensors that it has
   */
  public StoredTensor tensor(String name) {
    StoredTensor tensor = tensors.get(name);
    if (tensor == null) {
      throw new GuildhallException(
          ErrorCode.NOT_FOUND,
          "%s has no tensor \"%s\"; it has %d tensors: %s"
              .formatted(path, name, tensors.size(), someNames()));
    }
    return tensor;
  }

  private String someNames() {
    String names = tensors.keySet().stream().limit(8).collect(Collectors.joining(", "));
    return tensors.size() > 8 ? names + ", ..." : names;
  }

  /** Gives up the memory of pages that were read; they are read again when they are touched. */
  public void unload() {
    file.unload();
  }

  @Override
  public void close() {
    arena.close();
  }
}
