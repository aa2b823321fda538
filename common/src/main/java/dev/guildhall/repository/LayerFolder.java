package dev.guildhall.repository;

import dev.guildhall.error.GuildhallException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.FileVisitOption;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.BasicFileAttributes;
import java.nio.file.attribute.FileTime;
import java.util.List;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;
import org.jspecify.annotations.Nullable;

/**
 * What lies in a layer's folder at one moment: two that are equal had the same files.
 *
 * @param path the folder
 * @param entries every file below it that is not hidden, in the order of their paths
 */
record LayerFolder(Path path, List<Entry> entries) {

  /** A file, links followed, and what changes when it is replaced or written to. */
  record Entry(Path file, long bytes, FileTime modified, @Nullable Object key) {}

  /**
   * Looks into a folder.
   *
   * @throws GuildhallException INVALID_ARGUMENT if it cannot be read
   */
  static LayerFolder of(Path folder) {
    try (Stream<Path> files = Files.walk(folder, FileVisitOption.FOLLOW_LINKS)) {
      return new LayerFolder(
          folder,
          files
              .filter(file -> !hidden(folder.relativize(file)) && Files.isRegularFile(file))
              .sorted()
              .map(LayerFolder::entry)
              .toList());
    } catch (IOException | UncheckedIOException e) {
      throw GuildhallException.invalidArgument("%s cannot be read: %s".formatted(folder, e));
    }
  }

  /** Mounted volumes keep the versions of their files in hidden folders. */
  private static boolean hidden(Path relative) {
    return StreamSupport.stream(relative.spliterator(), false)
        .anyMatch(name -> name.toString().startsWith("."));
  }

  private static Entry entry(Path file) {
    try {
      BasicFileAttributes attributes = Files.readAttributes(file, BasicFileAttributes.class);
      return new Entry(
          file, attributes.size(), attributes.lastModifiedTime(), attributes.fileKey());
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  List<Path> files() {
    return entries.stream().map(Entry::file).toList();
  }
}
