package dev.guildhall.deploy;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;

/** Commands as a user would type them in the repository's root. */
final class Commands {
  static final Path ROOT = Path.of("..").toAbsolutePath().normalize();

  private static final Duration LIMIT = Duration.ofMinutes(5);

  private Commands() {}

  /**
   * Runs a command to its end.
   *
   * @return what it printed
   * @throws IllegalStateException if it fails, with what it printed
   */
  static String run(Map<String, String> environment, List<String> command) throws IOException {
    ProcessBuilder builder =
        new ProcessBuilder(command).directory(ROOT.toFile()).redirectErrorStream(true);
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

  /** Runs the guildhall command. */
  static String guildhall(String... arguments) throws IOException {
    List<String> command =
        new ArrayList<>(
            List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "@" + ROOT.resolve("deploy/jvm.options"),
                "-cp",
                System.getProperty(
                    "surefire.test.class.path", System.getProperty("java.class.path")),
                "dev.guildhall.cli.Guildhall"));
    command.addAll(List.of(arguments));
    return run(Map.of(), command);
  }
}
