package dev.guildhall.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.guildhall.safetensors.SafetensorsFile;
import dev.guildhall.safetensors.SafetensorsWriter;
import dev.guildhall.safetensors.StoredTensor;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.Consumer;
import java.util.stream.Stream;

/** The import command on the project's own checkpoints, or on changed copies in a folder. */
record Imports(Path folder) {
  private static final Path CHECKPOINTS =
      Path.of(System.getProperty("guildhall.home", "..")).resolve("checkpoint/src/test/resources");
  static final Path MODELS = CHECKPOINTS.resolve("huggingface");
  static final Path DEEPSPEED = CHECKPOINTS.resolve("deepspeed/digits");
  static final Path STATE_DICT = Digits.REPOSITORY.resolve("digits/model.safetensors");
  static final List<String> DIGITS_ARGUMENTS =
      List.of(
          "--k=2",
          "--capacity-factor=1.25",
          "--eval-capacity-factor=2",
          "--top2-2nd-expert-sampling",
          "false",
          "--activation=relu");

  Path repository() {
    return folder.resolve("repository");
  }

  String[] arguments(Path source, String... more) {
    return Stream.concat(
            Stream.of("import", source.toString(), "--output", repository().toString()),
            Stream.of(more))
        .toArray(String[]::new);
  }

  Run run(Path source, String... more) {
    return Run.of(arguments(source, more));
  }

  void assertImported(Path source, String... more) {
    Run run = run(source, more);
    assertEquals(0, run.exitCode(), run.err());
  }

  void assertRefused(String message, Run run) {
    assertEquals(1, run.exitCode(), run.out());
    assertTrue(run.err().contains(message), run.err());
    assertFalse(Files.exists(repository()), "something was left");
  }

  Path copyOf(String model) throws IOException {
    return copyOf(MODELS.resolve(model));
  }

  Path copyOf(Path source) throws IOException {
    Path copy = folder.resolve(source.getFileName());
    try (Stream<Path> files = Files.walk(source)) {
      for (Path file : files.toList()) {
        Files.copy(file, copy.resolve(source.relativize(file)));
      }
    }
    return copy;
  }

  static void edit(Path file, String from, String to) throws IOException {
    String text = Files.readString(file);
    assertTrue(text.contains(from), text);
    Files.writeString(file, text.replace(from, to));
  }

  /** Writes a changed copy of a .safetensors file. */
  void rewrite(Path from, Path to, Consumer<Map<String, StoredTensor>> change) throws IOException {
    Path changed = folder.resolve("changed.safetensors");
    try (SafetensorsFile file = SafetensorsFile.open(from)) {
      Map<String, StoredTensor> tensors = new TreeMap<>(file.tensors());
      change.accept(tensors);
      SafetensorsWriter.write(changed, tensors, Map.of());
    }
    Files.move(changed, to, StandardCopyOption.REPLACE_EXISTING);
  }
}
