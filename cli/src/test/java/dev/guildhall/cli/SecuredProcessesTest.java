package dev.guildhall.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.guildhall.rpc.PemIdentity;
import dev.guildhall.rpc.TestCa;
import java.net.Socket;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Processes of their own with mutual TLS between them all and a token. */
class SecuredProcessesTest {
  private static final String TOKEN = "a-token-that-nobody-guesses";

  @TempDir private Path folder;

  private Path ca;
  private PemIdentity expert;
  private PemIdentity router;
  private PemIdentity client;
  private Path callers;
  private Path token;

  @BeforeEach
  void writeFiles() throws Exception {
    TestCa authority = new TestCa("ours");
    ca = authority.write(folder.resolve("ca.pem"));
    expert = authority.issue(folder, "expert");
    router = authority.issue(folder, "router");
    client = authority.issue(folder, "client");
    byte[] hash =
        MessageDigest.getInstance("SHA-256").digest(TOKEN.getBytes(StandardCharsets.UTF_8));
    callers =
        Files.writeString(
            folder.resolve("callers.json"),
            "{\"callers\": [{\"name\": \"tests\", \"token_sha256\": \"%s\"}]}"
                .formatted(HexFormat.of().formatHex(hash)));
    token = Files.writeString(folder.resolve("token"), TOKEN + "\n");
  }

  @Test
  void inferIsServedWithTheRightFilesAndFailsClearlyWithout() throws Exception {
    try (CommandProcess experts =
            CommandProcess.start(
                folder,
                "expert",
                "--repository=" + Digits.REPOSITORY,
                "--port=0",
                "--metrics-port=0",
                "--tls-cert=" + expert.certificate(),
                "--tls-key=" + expert.key(),
                "--tls-client-ca=" + ca);
        CommandProcess serving =
            CommandProcess.start(
                folder,
                "router",
                "--repository=" + Digits.REPOSITORY,
                "--experts=localhost:" + experts.port("grpc"),
                "--port=0",
                "--metrics-port=0",
                "--tls-cert=" + router.certificate(),
                "--tls-key=" + router.key(),
                "--tls-client-ca=" + ca,
                "--experts-ca=" + ca,
                "--experts-cert=" + router.certificate(),
                "--experts-key=" + router.key(),
                "--callers=" + callers)) {
      int port = serving.port("grpc");
      String caFlag = "--ca=" + ca;
      String certFlag = "--cert=" + client.certificate();
      String keyFlag = "--key=" + client.key();
      String tokenFlag = "--token-file=" + token;

      assertServed(infer(port, caFlag, certFlag, keyFlag, tokenFlag));
      assertFails("UNAVAILABLE", infer(port, tokenFlag));
      assertFails("UNAVAILABLE", infer(port, caFlag, tokenFlag));
      assertFails(
          "UNAUTHENTICATED: the call has no right token", infer(port, caFlag, certFlag, keyFlag));
      assertServed(
          CommandProcess.start(
              folder,
              "layers",
              "--target=localhost:" + port,
              caFlag,
              certFlag,
              keyFlag,
              tokenFlag));
      for (CommandProcess server : List.of(serving, experts)) {
        server.terminate();
        assertEquals(0, server.exitCode(), server.err());
        assertFalse(server.err().contains(TOKEN), server.err());
        assertFalse(server.err().contains("PRIVATE"), server.err());
      }
    }
  }

  private CommandProcess infer(int port, String... flags) throws Exception {
    List<String> arguments =
        new ArrayList<>(
            List.of(
                "infer",
                "--target=localhost:" + port,
                "--layer=digits",
                "--input=" + Digits.HELD_OUT,
                "--output=" + folder.resolve("answer.safetensors")));
    arguments.addAll(List.of(flags));
    return CommandProcess.start(folder, arguments.toArray(String[]::new));
  }

  private static void assertServed(CommandProcess started) throws Exception {
    try (started) {
      assertEquals(0, started.exitCode(), started.err());
      assertTrue(started.out().contains("digits"), started.out());
    }
  }

  private static void assertFails(String message, CommandProcess started) throws Exception {
    try (started) {
      assertEquals(1, started.exitCode(), started.err());
      assertTrue(started.err().startsWith("guildhall: " + message), started.err());
      assertEquals(1, started.err().lines().count(), started.err());
      assertFalse(started.err().contains(TOKEN), started.err());
    }
  }

  @Test
  void theHealthPortIsAskedWithoutCertificatesAndServesNothingElse() throws Exception {
    try (CommandProcess experts =
            CommandProcess.start(
                folder,
                "expert",
                "--repository=" + Digits.REPOSITORY,
                "--port=0",
                "--metrics-port=0",
                "--health-port=0",
                "--tls-cert=" + expert.certificate(),
                "--tls-key=" + expert.key(),
                "--tls-client-ca=" + ca);
        CommandProcess asked =
            CommandProcess.start(folder, "health", "--target=localhost:" + experts.port("health"));
        CommandProcess refused =
            CommandProcess.start(
                folder, "layers", "--target=localhost:" + experts.port("health"))) {
      assertEquals(0, asked.exitCode(), asked.err());
      assertFails("UNIMPLEMENTED", refused);
      experts.terminate();
      assertEquals(0, experts.exitCode(), experts.err());
    }
  }

  @Test
  void flagsThatNeedOthersAreUsageErrors() throws Exception {
    String repository = "--repository=" + Digits.REPOSITORY;
    assertUsage("--tls-cert needs --tls-key", "expert", repository, "--tls-cert=a.pem");
    assertUsage("--tls-client-ca needs --tls-cert", "expert", repository, "--tls-client-ca=a.pem");
    assertUsage(
        "--experts-key needs --experts-cert",
        "router",
        repository,
        "--experts=a:1",
        "--experts-key=a.key");
    assertUsage(
        "--tls-key needs --tls-cert", "router", repository, "--experts=a:1", "--tls-key=a.key");
    assertUsage("--tls-cert needs --tls-key", "serve", repository, "--tls-cert=a.pem");
    assertUsage("--cert needs --ca", "layers", "--target=a:1", "--cert=a.pem", "--key=a.key");
  }

  private void assertUsage(String message, String... arguments) throws Exception {
    try (CommandProcess wrong = CommandProcess.start(folder, arguments)) {
      assertEquals(2, wrong.exitCode(), wrong.err());
      assertTrue(wrong.err().startsWith(message), wrong.err());
    }
  }

  @Test
  void readersOfMetricsThatAreSilentDoNotKeepOthersOut() throws Exception {
    List<Socket> silent = new ArrayList<>();
    try (CommandProcess server =
            CommandProcess.start(
                folder,
                "expert",
                "--repository=" + Digits.REPOSITORY,
                "--port=0",
                "--metrics-port=0");
        HttpClient http = HttpClient.newHttpClient()) {
      int port = server.port("metrics");
      // More than the port has threads.
      for (int i = 0; i < 16; i++) {
        Socket socket = new Socket("localhost", port);
        silent.add(socket);
        socket.getOutputStream().write("GET /met".getBytes(StandardCharsets.US_ASCII));
      }
      URI uri = URI.create("http://localhost:%d/metrics".formatted(port));
      HttpResponse<String> answer =
          http.send(
              HttpRequest.newBuilder(uri).timeout(Duration.ofSeconds(60)).build(),
              HttpResponse.BodyHandlers.ofString());
      assertEquals(200, answer.statusCode());
    } finally {
      for (Socket socket : silent) {
        socket.close();
      }
    }
  }

  @Test
  void aWrongFileEndsTheStartNamingIt() throws Exception {
    try (CommandProcess wrong =
        CommandProcess.start(
            folder,
            "expert",
            "--repository=" + Digits.REPOSITORY,
            "--tls-cert=" + expert.certificate(),
            "--tls-key=" + router.key())) {
      assertFails("INVALID_ARGUMENT: the key in " + router.key() + " does not belong", wrong);
    }
  }
}
