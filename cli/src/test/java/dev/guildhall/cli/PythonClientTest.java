package dev.guildhall.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.Gson;
import dev.guildhall.Tools;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The Python package in clients/python: its own tests, and its example. */
class PythonClientTest {
  private static final Path CLIENT =
      Path.of(System.getProperty("guildhall.home", ".."))
          .resolve("clients/python")
          .toAbsolutePath()
          .normalize();

  private static String python = "";

  @BeforeAll
  static void generate() throws IOException {
    Tools.need("protoc");
    python = Tools.python("torch", "grpc", "google.protobuf", "pytest", "setuptools");
    run(Map.of(), "setup.py", "-q", "generate");
  }

  private static String run(Map<String, String> environment, String... arguments)
      throws IOException {
    return Tools.run(
        CLIENT, environment, Stream.concat(Stream.of(python), Stream.of(arguments)).toList());
  }

  @Test
  void itsTestsPass() throws IOException {
    String said =
        run(
            Map.of("GUILDHALL_COMMAND", new Gson().toJson(CommandProcess.command(List.of()))),
            "-B",
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
          run(
              Map.of("PYTHONPATH", CLIENT.resolve("src").toString()),
              "-B",
              "examples/digits.py",
              "--target=localhost:" + server.port("grpc")));
    }
  }
}
