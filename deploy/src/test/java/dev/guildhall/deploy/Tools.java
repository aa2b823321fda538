package dev.guildhall.deploy;

import static org.junit.jupiter.api.Assertions.fail;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.File;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;

/** Programs that are not Java's. */
final class Tools {
  private static final String VARIABLE = "GUILDHALL_TOOL_TESTS";

  private Tools() {}

  /**
   * Skips the test where a program is not on the path; fails it instead if the environment variable
   * {@code GUILDHALL_TOOL_TESTS} is {@code required}.
   */
  static void need(String program) {
    boolean found =
        Arrays.stream(System.getenv("PATH").split(File.pathSeparator, -1))
            .anyMatch(folder -> Files.isExecutable(Path.of(folder, program)));
    if (!found && "required".equals(System.getenv(VARIABLE))) {
      fail(program + " is not on the PATH, and " + VARIABLE + " asks for it");
    }
    assumeTrue(found, program + " is not on the PATH");
  }
}
