package dev.guildhall.fuzz;

import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assertions.fail;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileVisitResult;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.SimpleFileVisitor;
import java.nio.file.attribute.BasicFileAttributes;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.function.Supplier;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * One target under Jazzer's own driver (libFuzzer) in a JVM of its own: a crash of native code
 * fails a test and not the build's JVM, and the agent that instruments classes stays away from
 * other tests. Everything it writes lies in one folder below target/.
 *
 * @param target a class with a static {@code fuzzerTestOneInput(byte[])}, which throws when its
 *     oracle is not content
 * @param instrumented the classes whose branches guide the fuzzer, as patterns separated by colons;
 *     few, for instrumenting all of a large library takes longer than a whole run in the build
 */
public record FuzzRun(
    Class<?> target,
    String instrumented,
    Supplier<Stream<byte[]>> seeds,
    Duration time,
    Path folder) {
  private static final String DRIVER = "com.code_intelligence.jazzer.Jazzer";
  private static final Duration LONG = Duration.ofMinutes(1);
  private static final Duration START_AND_STOP = Duration.ofMinutes(3);

  public static FuzzRun of(
      Class<?> target, String instrumented, Supplier<Stream<byte[]>> seeds, Duration time) {
    return new FuzzRun(
        target,
        instrumented,
        seeds,
        time,
        Path.of("target", "fuzz", target.getSimpleName()).toAbsolutePath());
  }

  /** Runs it; fails with what was found, the input and the log. */
  public void run() throws IOException, InterruptedException {
    deleteTree(folder);
    writeSeeds();
    Process driver =
        new ProcessBuilder(command())
            .directory(folder.toFile())
            .redirectErrorStream(true)
            .redirectOutput(log().toFile())
            .start();
    try {
      if (!driver.waitFor(time.plus(START_AND_STOP).toSeconds(), TimeUnit.SECONDS)) {
        fail("%s did not end; log: %s".formatted(target.getSimpleName(), log()));
      }
    } finally {
      driver.destroyForcibly();
    }
    if (driver.exitValue() != 0) {
      fail(finding(driver.exitValue()));
    }
    assertTrue(
        readLog().anyMatch(line -> line.contains("INITED cov: ")),
        () -> "%s was not fuzzed with coverage; log: %s".formatted(target.getSimpleName(), log()));
  }

  private Path log() {
    return folder.resolve("log.txt");
  }

  private void writeSeeds() throws IOException {
    Files.createDirectories(folder.resolve("corpus"));
    Path seedFolder = Files.createDirectories(folder.resolve(SeedFolder.NAME));
    List<byte[]> all = seeds.get().toList();
    for (int i = 0; i < all.size(); i++) {
      Files.write(seedFolder.resolve("seed-%02d".formatted(i)), all.get(i));
    }
  }

  private List<String> command() {
    List<String> command = new ArrayList<>();
    command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
    command.addAll(List.of(System.getProperty("fuzz.jvm.flags", "").split(" ")));
    command.removeIf(String::isEmpty);
    if (time.compareTo(LONG) < 0) {
      // Starting takes half the processor time that it takes with C2, which pays off later only.
      command.addAll(List.of("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"));
    }
    command.addAll(
        List.of(
            "-Xmx1g",
            "-XX:+EnableDynamicAgentLoading",
            // The agent extends the boot class path, which would be warned of.
            "-Xshare:off",
            "-cp",
            System.getProperty("java.class.path"),
            DRIVER,
            "--target_class=" + target.getName(),
            "--instrumentation_includes=" + instrumented,
            "--custom_hook_includes=dev.guildhall.**",
            "--reproducer_path=" + folder,
            "-seed=1",
            "-max_len=1024",
            "-timeout=20",
            "-rss_limit_mb=3000",
            "-max_total_time=" + time.toSeconds(),
            "-print_final_stats=1",
            "-artifact_prefix=" + folder + "/",
            "corpus",
            SeedFolder.NAME));
    return command;
  }

  private String finding(int exitValue) throws IOException {
    String inputs;
    try (Stream<Path> files = Files.list(folder)) {
      inputs =
          files
              .filter(
                  file -> file.getFileName().toString().matches("(crash|timeout|oom|slow-unit)-.*"))
              .map(Path::toString)
              .collect(Collectors.joining(", "));
    }
    String cause =
        readLog()
            .dropWhile(line -> !line.startsWith("== ") && !line.contains("ERROR"))
            .limit(40)
            .collect(Collectors.joining("\n"));
    return "%s: the fuzzer ended with exit code %d.\ninput: %s\nlog:   %s\n%s"
        .formatted(
            target.getSimpleName(),
            exitValue,
            inputs.isEmpty() ? "none written" : inputs,
            log(),
            cause);
  }

  private Stream<String> readLog() throws IOException {
    return Files.readString(log(), StandardCharsets.ISO_8859_1).lines();
  }

  private static void deleteTree(Path folder) throws IOException {
    if (!Files.exists(folder)) {
      return;
    }
    Files.walkFileTree(
        folder,
        new SimpleFileVisitor<>() {
          @Override
          public FileVisitResult visitFile(Path file, BasicFileAttributes attributes)
              throws IOException {
            Files.delete(file);
            return FileVisitResult.CONTINUE;
          }

          @Override
          public FileVisitResult postVisitDirectory(Path visited, @Nullable IOException failure)
              throws IOException {
            Files.delete(visited);
            return FileVisitResult.CONTINUE;
          }
        });
  }
}
