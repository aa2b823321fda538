package dev.guildhall.checkpoint;

import java.io.IOException;
import java.nio.file.DirectoryNotEmptyException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.UUID;
import java.util.stream.Stream;

/**
 * A folder that appears under its name when it is finished. Closed before, it leaves nothing, nor
 * do the folders around it that were made for it.
 */
final class NewFolder implements AutoCloseable {
  private final Path parent;
  private final String name;
  private final Path partial;

  /** Innermost first. */
  private final List<Path> made;

  private boolean finished;

  private NewFolder(Path parent, String name, Path partial, List<Path> made) {
    this.parent = parent;
    this.name = name;
    this.partial = partial;
    this.made = made;
  }

  static NewFolder create(Path parent, String name) throws IOException {
    List<Path> made = new ArrayList<>();
    Path each = parent.toAbsolutePath();
    while (each != null && !Files.exists(each, LinkOption.NOFOLLOW_LINKS)) {
      made.add(each);
      each = each.getParent();
    }
    try {
      Files.createDirectories(parent);
      // Hidden, so that a service that watches the repository does not look into it.
      Path partial = Files.createDirectory(parent.resolve(".import-" + UUID.randomUUID()));
      return new NewFolder(parent, name, partial, made);
    } catch (IOException e) {
      remove(made);
      throw e;
    }
  }

  /** Where its files are written. */
  Path path() {
    return partial;
  }

  void finish() throws IOException {
    Files.move(partial, parent.resolve(name), StandardCopyOption.ATOMIC_MOVE);
    finished = true;
  }

  @Override
  public void close() throws IOException {
    if (finished) {
      return;
    }
    try (Stream<Path> all = Files.walk(partial)) {
      for (Path path : all.sorted(Comparator.reverseOrder()).toList()) {
        Files.delete(path);
      }
    }
    remove(made);
  }

  private static void remove(List<Path> made) throws IOException {
    try {
      for (Path each : made) {
        Files.deleteIfExists(each);
      }
    } catch (DirectoryNotEmptyException e) {
      // Another import uses it by now.
    }
  }
}
