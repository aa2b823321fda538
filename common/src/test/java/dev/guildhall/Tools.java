package dev.guildhall;

import static org.junit.jupiter.api.Assertions.fail;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;

/** Programs that are not Java's. */
public final class Tools {
  private static final String VARIABLE = "GUILDHALL_TOOL_TESTS";

  private static final Duration LIMIT = Duration.ofMinutes(5);

  private Tools() {}

  /**
   * Skips the test where a program is not on the path; fails it instead if the environment variable
   * {@code GUILDHALL_TOOL_TESTS} is {@code required}.
   */
  public static void need(String program) {
    need(
        Arrays.stream(System.getenv("PATH").split(File.pathSeparator, -1))
            .anyMatch(folder -> Files.isExecutable(Path.of(folder, program))),
        program + " is not on the PATH");
  }

  /**
   * A Python that has these modules; skips or fails the test as {@link #need(String)} does where
   * none has. The first one on the path may be another than Debian's packages are for.
   */
  public static String python(String... modules) {
    String imports = "import " + String.join(", ", modules);
    Optional<String> python =
        Stream.of("python3", "/usr/bin/python3").filter(each -> runs(each, imports)).findFirst();
    need(python.isPresent(), "no python3 can " + imports);
    return python.orElseThrow();
  }

  private static boolean runs(String python, String code) {
    try {
      run(Path.of("."), Map.of(), List.of(python, "-c", code));
      return true;
    } catch (IOException | IllegalStateException e) {
      return false;
    }
  }

  private static void need(boolean found, String otherwise) {
    if (!found && "required".equals(System.getenv(VARIABLE))) {
      fail(otherwise + ", and " + VARIABLE + " asks for it");
    }
    assumeTrue(found, otherwise);
  }

  /**
   * Runs a command to its end.
   *
   * @return what it printed
   * @throws IllegalStateException if it fails, with what it printed
   */
  public static String run(Path directory, Map<String, String> environment, List<String> command)
      throws IOException {
    ProcessBuilder builder =
        new ProcessBuilder(command).directory(directory.toFile()).redirectErrorStream(true);
    builder.environment().putAll(environment);
    Process process = builder.start();
    process.getOutputStream().close();
    // Ends the reading below too.
    Thread limit =
        Thread.ofVirtual()
            .start(() -> {
              try {
                if (!process.waitFor(LIMIT.toSeconds(), TimeUnit.SECONDS)) {
                  process.destroyForcibly();
                }
              } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
              }
            });
    String said = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    try {
      limit.join();
    } catch (InterruptedException e) {
      process.destroyForcibly();
      Thread.currentThread().interrupt();
      throw new IOException("interrupted", e);
    }
    if (process.exitValue() != 0) {
      throw new IllegalStateException(
          "%s ended with %d: %s".formatted(String.join(" ", command), process.exitValue(), said));
    }
    return said;
  }
}
