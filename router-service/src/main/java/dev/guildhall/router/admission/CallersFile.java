package dev.guildhall.router.admission;

import dev.guildhall.error.ErrorCode;
import dev.guildhall.error.GuildhallException;
import dev.guildhall.files.WatchedFiles;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Optional;

/**
 * The file that says who may call, read again when it changes. A new version that is not right is
 * logged and the one before stays in use. Thread-safe.
 */
public final class CallersFile implements AutoCloseable {
  private final Path file;
  private final WatchedFiles watch;
  private volatile Callers callers = Callers.NONE;

  /**
   * Reads the file.
   *
   * @param interval between two looks whether it has changed
   * @throws GuildhallException NOT_FOUND if it does not exist; INVALID_ARGUMENT naming it and what
   *     is wrong in it
   */
  public CallersFile(Path file, Duration interval) {
    this.file = file;
    this.watch = WatchedFiles.open(List.of(file), interval, this::take);
  }

  private void take(List<byte[]> contents) {
    try {
      callers = Callers.parse(new String(contents.getFirst(), StandardCharsets.UTF_8), callers);
    } catch (GuildhallException e) {
      throw new GuildhallException(
          ErrorCode.INVALID_ARGUMENT, "%s: %s".formatted(file, e.getMessage()), e);
    }
  }

  /** Whose token it is, as of now. */
  public Optional<Caller> find(String token) {
    return callers.find(token);
  }

  @Override
  public void close() {
    watch.close();
  }
}
