package dev.guildhall.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Layers loaded and unloaded by command at running processes. */
class AdminPortTest {
  private static final String JSON = "{\"hidden_size\": 8, \"num_experts\": 2}";

  @TempDir private Path repository;
  @TempDir private Path logs;

  @BeforeEach
  void write() throws Exception {
    LayerFiles.mlp(repository, "first", JSON);
  }

  @Test
  void loadsAndUnloadsAtARouterAndItsExperts() throws Exception {
    try (CommandProcess expert = start("expert", "--admin-port=0");
        CommandProcess router =
            start("router", "--admin-port=0", "--experts=localhost:" + expert.port("grpc"))) {
      String target = "--target=localhost:" + router.port("grpc");
      LayerFiles.mlp(repository, "second", JSON);
      for (CommandProcess server : new CommandProcess[] {router, expert}) {
        String out = succeed("layers", "load", "second", admin(server));
        assertTrue(out.matches("layer second@[0-9a-f]{64} is loaded\n"), out);
      }
      Await.until("it is served", () -> layers(target).contains("second"));
      for (CommandProcess server : new CommandProcess[] {router, expert}) {
        succeed("layers", "unload", "second", admin(server));
      }
      assertTrue(!layers(target).contains("second"));
      fail(
          1,
          "NOT_FOUND: the model repository %s has no layer \"../first\"".formatted(repository),
          "layers",
          "load",
          "../first",
          admin(router));
    }
  }

  @Test
  void aServerOfEmbeddedExpertsLoadsForThemToo() throws Exception {
    try (CommandProcess server = start("serve", "--admin-port=0", "--replicas=2")) {
      LayerFiles.mlp(repository, "second", JSON);
      succeed("layers", "load", "second", admin(server));
      String target = "--target=localhost:" + server.port("grpc");
      Await.until("it is served", () -> layers(target).contains("second"));
    }
  }

  @Test
  void theDataPortHasNoAdminService() throws Exception {
    try (CommandProcess expert = start("expert", "--admin-port=0")) {
      fail(
          1,
          "UNIMPLEMENTED",
          "layers",
          "unload",
          "first",
          "--admin=localhost:" + expert.port("grpc"));
    }
  }

  @Test
  void beyondLoopbackClientsMustShowCertificates() throws Exception {
    fail(
        2,
        "--admin-host is \"0.0.0.0\"; allowed beyond loopback only with --tls-client-ca",
        "expert",
        "--repository=" + repository,
        "--port=0",
        "--metrics-port=0",
        "--admin-port=0",
        "--admin-host=0.0.0.0");
  }

  private CommandProcess start(String command, String... flags) throws Exception {
    return CommandProcess.start(
        logs,
        Stream.concat(
                Stream.of(command, "--repository=" + repository, "--port=0", "--metrics-port=0"),
                Stream.of(flags))
            .toArray(String[]::new));
  }

  private static String admin(CommandProcess server) throws InterruptedException {
    return "--admin=localhost:" + server.port("admin");
  }

  private String layers(String target) {
    try {
      return succeed("layers", target);
    } catch (Exception e) {
      throw new AssertionError(e);
    }
  }

  private String succeed(String... arguments) throws Exception {
    try (CommandProcess process = CommandProcess.start(logs, arguments)) {
      assertEquals(0, process.exitCode(), process.err());
      return process.out();
    }
  }

  private void fail(int exitCode, String err, String... arguments) throws Exception {
    try (CommandProcess process = CommandProcess.start(logs, arguments)) {
      assertEquals(exitCode, process.exitCode());
      assertTrue(process.err().contains(err), process.err());
    }
  }
}
