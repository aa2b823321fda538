package dev.guildhall.safetensors;

import dev.guildhall.error.ErrorCode;
import dev.guildhall.error.GuildhallException;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.channels.FileChannel;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;

/** How files of tensors are opened: mapped into memory, and let go of if they are not right. */
public final class MappedFile {
  private MappedFile() {}

  /** Makes of a file's bytes what is read from them. */
  @FunctionalInterface
  public interface Format<T> {
    /**
     * Reads a file.
     *
     * @param file its bytes
     * @param arena keeps them mapped, and is the result's to close
     */
    T read(Path path, MemorySegment file, Arena arena);
  }

  /**
   * Opens a file.
   *
   * @throws GuildhallException naming the file: NOT_FOUND if there is none, INVALID_ARGUMENT if it
   *     cannot be read, or what its format throws
   */
  @SuppressWarnings("MustBeClosedChecker") // Closed with what the format makes of it.
  public static <T> T open(Path path, Format<T> format) {
    Arena arena = Arena.ofShared();
    try {
      return format.read(path, map(path, arena), arena);
    } catch (GuildhallException e) {
      arena.close();
      throw new GuildhallException(e.code(), "%s: %s".formatted(path, e.getMessage()), e);
    } catch (IOException e) {
      arena.close();
      throw GuildhallException.invalidArgument("%s cannot be read: %s".formatted(path, e));
    }
  }

  private static MemorySegment map(Path path, Arena arena) throws IOException {
    try (FileChannel channel = FileChannel.open(path, StandardOpenOption.READ)) {
      return channel.map(FileChannel.MapMode.READ_ONLY, 0, channel.size(), arena);
    } catch (NoSuchFileException e) {
      throw new GuildhallException(ErrorCode.NOT_FOUND, "there is no such file", e);
    }
  }
}
