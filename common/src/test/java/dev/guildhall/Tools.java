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
import java.util.concurrent.TimeUnit;

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
    boolean found =
        Arrays.stream(System.getenv("PATH").split(File.pathSeparator, -1))
            .anyMatch(folder -> Files.isExecutable(Path.of(folder, program)));
    if (!found && "required".equals(System.getenv(VARIABLE))) {
      fail(program + " is not on the PATH, and " + VARIABLE + " asks for it");
    }
    assumeTrue(found, program + " is not on the PATH");
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
