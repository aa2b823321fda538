package dev.guildhall.files;

import dev.guildhall.error.ErrorCode;
import dev.guildhall.error.GuildhallException;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Small files that belong together and are read again when what is in them changes. What cannot be
 * read or taken later is logged, once a change, and what was taken before stays in use.
 *
 * <p>They are looked at again and again on a thread of this object, by content: a mounted volume
 * changes its files behind symbolic links, which no file system event tells.
 */
public final class WatchedFiles implements AutoCloseable {
  private static final Logger log = LoggerFactory.getLogger(WatchedFiles.class);

  /** Far more than certificates or callers take; a device or a weights file named by mistake. */
  private static final int MAX_BYTES = 4 << 20;

  /** Takes what the files have. */
  @FunctionalInterface
  public interface Taker {
    /**
     * Takes over all of it or nothing.
     *
     * @param contents one each file, in their order
     * @throws GuildhallException saying which file is wrong and how; never what is secret in it
     */
    void take(List<byte[]> contents);
  }

  private final List<Path> files;
  private final Taker taker;
  private final ScheduledExecutorService watch =
      Executors.newSingleThreadScheduledExecutor(
          Thread.ofVirtual().name("guildhall-files").factory());
  private List<ByteBuffer> seen = List.of();
  private String problem = "";

  private WatchedFiles(List<Path> files, Taker taker) {
    this.files = List.copyOf(files);
    this.taker = taker;
  }

  /**
   * Reads the files and goes on looking at them.
   *
   * @param interval between two looks
   * @throws GuildhallException NOT_FOUND for a file that does not exist; INVALID_ARGUMENT for one
   *     that cannot be read; what the taker throws
   */
  public static WatchedFiles open(List<Path> files, Duration interval, Taker taker) {
    WatchedFiles watched = new WatchedFiles(files, taker);
    try {
      watched.readAgain();
    } catch (RuntimeException e) {
      watched.close();
      throw e;
    }
    var _ =
        watched.watch.scheduleWithFixedDelay(
            watched::look, interval.toNanos(), interval.toNanos(), TimeUnit.NANOSECONDS);
    return watched;
  }

  private void look() {
    try {
      if (readAgain()) {
        log.info("{} read again", files);
      }
      problem = "";
    } catch (RuntimeException e) {
      String message = String.valueOf(e.getMessage());
      if (!message.equals(problem)) {
        problem = message;
        log.warn("what was read before stays in use: {}", message);
      }
    }
  }

  /** Whether there was anything new to take. */
  private boolean readAgain() {
    List<ByteBuffer> contents = new ArrayList<>();
    for (Path file : files) {
      contents.add(ByteBuffer.wrap(read(file)));
    }
    if (contents.equals(seen)) {
      return false;
    }
    // Before it is taken: what is wrong is tried again only when it has changed.
    seen = contents;
    taker.take(contents.stream().map(ByteBuffer::array).toList());
    return true;
  }

  private static byte[] read(Path file) {
    byte[] content;
    try (InputStream in = Files.newInputStream(file)) {
      content = in.readNBytes(MAX_BYTES + 1);
    } catch (NoSuchFileException e) {
      throw new GuildhallException(ErrorCode.NOT_FOUND, "%s does not exist".formatted(file), e);
    } catch (IOException e) {
      throw new GuildhallException(
          ErrorCode.INVALID_ARGUMENT, "%s cannot be read: %s".formatted(file, e.getMessage()), e);
    }
    if (content.length > MAX_BYTES) {
      throw GuildhallException.invalidArgument(
          "%s has more than %d bytes; allowed are up to that many".formatted(file, MAX_BYTES));
    }
    return content;
  }

  /** Stops looking. */
  @Override
  public void close() {
    watch.shutdownNow();
  }
}
