package dev.guildhall.cli;

import dev.guildhall.Tools;
import java.io.IOException;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;
import java.util.stream.Stream;

/** The Python package in clients/python, with its generated stubs. */
final class PythonClient {
  static final Path FOLDER =
      Path.of(System.getProperty("guildhall.home", ".."))
          .resolve("clients/python")
          .toAbsolutePath()
          .normalize();

  private final String python;

  private PythonClient(String python) {
    this.python = python;
  }

  /**
   * Generates its stubs; skips or fails the test as {@link Tools#need(String)} does where protoc or
   * a module is missing.
   *
   * @param modules that are needed beside its own
   */
  static PythonClient generate(String... modules) throws IOException {
    Tools.need("protoc");
    String python =
        Tools.python(
            Stream.concat(
                    Stream.of("torch", "grpc", "google.protobuf", "setuptools"), Stream.of(modules))
                .toArray(String[]::new));
    PythonClient client = new PythonClient(python);
    var _ = client.run(FOLDER, Map.of(), "setup.py", "-q", "generate");
    return client;
  }

  /** Runs Python with these arguments; a program may import {@code guildhall}. */
  String run(Path directory, Map<String, String> environment, String... arguments)
      throws IOException {
    Map<String, String> variables = new HashMap<>(environment);
    variables.put("PYTHONPATH", FOLDER.resolve("src").toString());
    return Tools.run(
        directory,
        variables,
        Stream.concat(Stream.of(python, "-B"), Stream.of(arguments)).toList());
  }
}
