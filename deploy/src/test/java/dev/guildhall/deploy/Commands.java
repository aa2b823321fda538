package dev.guildhall.deploy;

import dev.guildhall.Tools;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** Commands as a user would type them in the repository's root. */
final class Commands {
  static final Path ROOT = Path.of("..").toAbsolutePath().normalize();

  private Commands() {}

  /**
   * Runs a command to its end.
   *
   * @return what it printed
   * @throws IllegalStateException if it fails, with what it printed
   */
  static String run(Map<String, String> environment, List<String> command) throws IOException {
    return Tools.run(ROOT, environment, command);
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
