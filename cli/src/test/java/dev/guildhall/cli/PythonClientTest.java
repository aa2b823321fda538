package dev.guildhall.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.Gson;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The Python package in clients/python: its own tests, and its example. */
class PythonClientTest {
  private static PythonClient python;

  @BeforeAll
  static void generate() throws IOException {
    python = PythonClient.generate("pytest");
  }

  @Test
  void itsTestsPass() throws IOException {
    String said =
        python.run(
            PythonClient.FOLDER,
            Map.of("GUILDHALL_COMMAND", new Gson().toJson(CommandProcess.command(List.of()))),
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider");
    assertTrue(said.contains(" passed"), said);
  }

  /** DeepSpeed's own layer has the same accuracy. */
  @Test
  void theExampleIsAsAccurateAsDeepSpeed(@TempDir Path logs) throws Exception {
    try (CommandProcess server =
        CommandProcess.start(
            logs, "serve", "--repository=" + Digits.REPOSITORY, "--port=0", "--metrics-port=0")) {
      assertEquals(
          "accuracy 98.33 % (589/599 held-out pictures)\n",
          python.run(
              PythonClient.FOLDER,
              Map.of(),
              "examples/digits.py",
              "--target=localhost:" + server.port("grpc")));
    }
  }
}
