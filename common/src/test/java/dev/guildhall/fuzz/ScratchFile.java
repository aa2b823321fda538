package dev.guildhall.fuzz;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import org.jspecify.annotations.Nullable;

/**
 * One file in the working folder whose content is replaced again and again. It stays open and is
 * never empty in between: file systems write a file that is emptied and closed to disk at once,
 * which takes a millisecond or two.
 */
public final class ScratchFile {
  private final Path path;
  private @Nullable FileChannel channel;

  public ScratchFile(String name) {
    path = Path.of(name);
  }

  public Path path() {
    return path;
  }

  public void write(byte[] content) throws IOException {
    FileChannel open = channel;
    if (open == null) {
      open = FileChannel.open(path, StandardOpenOption.CREATE, StandardOpenOption.WRITE);
      channel = open;
    }
    ByteBuffer bytes = ByteBuffer.wrap(content);
    while (bytes.hasRemaining()) {
      open.write(bytes, bytes.position());
    }
    open.truncate(content.length);
  }
}
