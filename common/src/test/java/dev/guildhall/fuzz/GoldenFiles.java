package dev.guildhall.fuzz;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;

/** The recorded runs of DeepSpeed, which seeds are cut from. */
public final class GoldenFiles {
  private static final Path FOLDER = Path.of("src/test/resources/golden");

  private GoldenFiles() {}

  /** All .safetensors files in the order of their names. */
  public static List<Path> all() {
    try (Stream<Path> files = Files.list(FOLDER)) {
      return files.filter(file -> file.toString().endsWith(".safetensors")).sorted().toList();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }
}
