package dev.guildhall.fuzz;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;

/**
 * The seeds of the target that runs in this JVM. Each target runs them once before the fuzzer
 * starts its clock: loading and instrumenting the classes takes as long as all the fuzzing in a
 * build.
 */
public final class SeedFolder {
  static final String NAME = "seeds";

  private SeedFolder() {}

  public static void warmUp(HeapBound.Body target) throws Exception {
    List<Path> seeds;
    try (Stream<Path> files = Files.list(Path.of(NAME))) {
      seeds = files.sorted().toList();
    }
    for (Path seed : seeds) {
      try {
        target.check(Files.readAllBytes(seed));
      } catch (Exception | AssertionError e) {
        throw new AssertionError("found with " + seed.toAbsolutePath(), e);
      }
    }
  }
}
