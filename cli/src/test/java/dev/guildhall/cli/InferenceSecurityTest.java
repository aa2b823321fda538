package dev.guildhall.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.guildhall.proto.inference.GRPCInferenceServiceGrpc;
import dev.guildhall.proto.inference.ModelRepositoryParameter;
import dev.guildhall.proto.inference.RepositoryModelLoadRequest;
import dev.guildhall.proto.inference.RepositoryModelUnloadRequest;
import dev.guildhall.proto.inference.ServerMetadataRequest;
import dev.guildhall.proto.inference.ServerReadyRequest;
import dev.guildhall.rpc.PemIdentity;
import dev.guildhall.rpc.TestCa;
import io.grpc.ManagedChannel;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.netty.NettyChannelBuilder;
import io.grpc.util.CertificateUtils;
import java.io.IOException;
import java.io.InputStream;
import java.net.Socket;
import java.net.SocketTimeoutException;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.MessageDigest;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.util.HexFormat;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import javax.net.ssl.KeyManager;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Who may do what by the Open Inference Protocol at a router in a process of its own. */
class InferenceSecurityTest {
  private static final String TOKEN = "a-token-that-nobody-guesses";

  @TempDir private Path repository;
  @TempDir private Path folder;

  @BeforeEach
  void write() throws Exception {
    InferenceModels.write(repository);
  }

  @Test
  void httpHasTheTlsAndTheTokensOfGrpc() throws Exception {
    TestCa authority = new TestCa("ours");
    Path ca = authority.write(folder.resolve("ca.pem"));
    PemIdentity router = authority.issue(folder, "router");
    PemIdentity client = authority.issue(folder, "client");
    byte[] hash =
        MessageDigest.getInstance("SHA-256").digest(TOKEN.getBytes(StandardCharsets.UTF_8));
    Path callers =
        Files.writeString(
            folder.resolve("callers.json"),
            "{\"callers\": [{\"name\": \"tests\", \"token_sha256\": \"%s\", \"max_tokens_in_flight\": 4}]}"
                .formatted(HexFormat.of().formatHex(hash)));
    try (CommandProcess server =
            start(
                "--tls-cert=" + router.certificate(),
                "--tls-key=" + router.key(),
                "--tls-client-ca=" + ca,
                "--callers=" + callers);
        HttpClient known = client(ca, Optional.of(client));
        HttpClient stranger = client(ca, Optional.empty());
        HttpClient plain = HttpClient.newHttpClient()) {
      int port = server.port("http");
      Rest rest = new Rest(known, "https://localhost:" + port);
      // Probes have a certificate and no token.
      assertEquals(200, rest.get("/v2/health/ready").statusCode());
      // The live page's files hold nothing of the router's.
      assertEquals(200, rest.get("/").statusCode());
      assertEquals(200, rest.get("/page/page.js").statusCode());
      assertEquals(401, rest.get("/live").statusCode());
      assertEquals(200, rest.send(withToken(rest.request("/live").HEAD(), TOKEN)).statusCode());
      for (String path : List.of("/v2", "/v2/models/tight", "/v2/models/stats")) {
        assertEquals(200, rest.send(withToken(rest.request(path), TOKEN)).statusCode(), path);
        for (HttpRequest.Builder wrong :
            List.of(rest.request(path), withToken(rest.request(path), "guess"))) {
          HttpResponse<byte[]> refused = rest.send(wrong);
          assertEquals(401, refused.statusCode());
          assertEquals("Bearer", refused.headers().firstValue("www-authenticate").orElse(""));
          assertTrue(Rest.error(refused).startsWith("the call has no right token"));
        }
      }
      assertEquals(401, rest.post("/v2/models/tight/infer", tokens(1)).statusCode());
      assertEquals(401, rest.post("/v2/repository/index", "").statusCode());
      assertEquals(200, infer(rest, 4).statusCode());
      HttpResponse<byte[]> tooMany = infer(rest, 5);
      assertEquals(400, tooMany.statusCode());
      assertEquals(
          "caller tests: the request has 5 tokens; allowed are up to 4", Rest.error(tooMany));

      Rest uncertified = new Rest(stranger, rest.base());
      assertThrows(IOException.class, () -> uncertified.get("/v2/health/live"));
      Rest unencrypted = new Rest(plain, "http://localhost:" + port);
      assertThrows(IOException.class, () -> unencrypted.get("/v2/health/live"));
      assertTrue(!server.err().contains(TOKEN), server.err());
    }
  }

  private static HttpRequest.Builder withToken(HttpRequest.Builder request, String token) {
    return request.header("Authorization", "Bearer " + token);
  }

  private static HttpResponse<byte[]> infer(Rest rest, int count) throws Exception {
    return rest.send(
        withToken(rest.request("/v2/models/tight/infer"), TOKEN)
            .POST(BodyPublishers.ofString(tokens(count))));
  }

  private static String tokens(int count) {
    String row = "[0,0,0,0,0,0,0,0]";
    return "{\"inputs\": [{\"name\": \"hidden_states\", \"datatype\": \"FP32\", \"shape\": [%d, 8], \"data\": [%s]}]}"
        .formatted(count, String.join(",", Stream.generate(() -> row).limit(count).toList()));
  }

  private static HttpClient client(Path ca, Optional<PemIdentity> identity) throws Exception {
    KeyStore trusted = KeyStore.getInstance(KeyStore.getDefaultType());
    trusted.load(null, null);
    trusted.setCertificateEntry("ca", certificate(ca));
    TrustManagerFactory trust =
        TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
    trust.init(trusted);
    KeyManager[] keys = new KeyManager[0];
    if (identity.isPresent()) {
      KeyStore own = KeyStore.getInstance(KeyStore.getDefaultType());
      own.load(null, null);
      own.setKeyEntry(
          "own",
          CertificateUtils.getPrivateKey(Files.newInputStream(identity.get().key())),
          new char[0],
          new Certificate[] {certificate(identity.get().certificate())});
      KeyManagerFactory factory =
          KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
      factory.init(own, new char[0]);
      keys = factory.getKeyManagers();
    }
    SSLContext context = SSLContext.getInstance("TLSv1.3");
    context.init(keys, trust.getTrustManagers(), null);
    return HttpClient.newBuilder().sslContext(context).build();
  }

  private static Certificate certificate(Path file) throws Exception {
    try (InputStream in = Files.newInputStream(file)) {
      return CertificateFactory.getInstance("X.509").generateCertificate(in);
    }
  }

  @Test
  void layersAreChangedByWhoeverIsAllowedToAndOnBothFaces() throws Exception {
    try (CommandProcess server = start("--admin-port=0", "--oip-admin");
        HttpClient http = HttpClient.newHttpClient()) {
      Rest rest = new Rest(http, "http://localhost:" + server.port("http"));
      assertEquals(200, rest.post("/v2/repository/models/model%2Ffirst/unload", "").statusCode());
      assertEquals(404, rest.get("/v2/models/model/first").statusCode());
      assertEquals(404, rest.get("/v2/models/model/first/ready").statusCode());
      assertTrue(
          new String(rest.post("/v2/repository/index", "").body(), StandardCharsets.UTF_8)
              .contains("{\"name\":\"model/first\",\"version\":\"\",\"state\":\"UNAVAILABLE\""));
      assertEquals(
          2,
          Rest.element(rest.post("/v2/repository/index", "{\"ready\":true}"))
              .getAsJsonArray()
              .size());
      HttpResponse<byte[]> again = rest.post("/v2/repository/models/model/first/unload", "");
      assertEquals(404, again.statusCode());
      assertEquals(404, rest.post("/v2/repository/models/pear/load", "").statusCode());
      HttpResponse<byte[]> changed =
          rest.post("/v2/repository/models/tight/load", "{\"parameters\": {\"config\": \"{}\"}}");
      assertEquals(400, changed.statusCode());
      assertTrue(Rest.error(changed).startsWith("parameters of the load are config"));

      ManagedChannel channel = channel(server);
      try {
        var client = stub(channel);
        client.repositoryModelLoad(
            RepositoryModelLoadRequest.newBuilder().setModelName("model/first").build());
        Await.until("it is served", () -> isThere(rest, "/v2/models/model/first/ready"));
        client.repositoryModelUnload(
            RepositoryModelUnloadRequest.newBuilder().setModelName("tight").build());
        assertEquals(404, rest.get("/v2/models/tight").statusCode());
        StatusRuntimeException missing =
            assertThrows(
                StatusRuntimeException.class,
                () ->
                    client.repositoryModelLoad(
                        RepositoryModelLoadRequest.newBuilder().setModelName("pear").build()));
        assertEquals(Status.Code.NOT_FOUND, missing.getStatus().getCode());
        StatusRuntimeException other =
            assertThrows(
                StatusRuntimeException.class,
                () ->
                    client.repositoryModelLoad(
                        RepositoryModelLoadRequest.newBuilder()
                            .setModelName("model/first")
                            .putParameters("config", ModelRepositoryParameter.getDefaultInstance())
                            .build()));
        assertEquals(Status.Code.INVALID_ARGUMENT, other.getStatus().getCode());
      } finally {
        channel.shutdownNow();
      }
    }
  }

  private static boolean isThere(Rest rest, String path) {
    try {
      return rest.get(path).statusCode() == 200;
    } catch (Exception e) {
      throw new AssertionError(e);
    }
  }

  @Test
  void changesNeedTheAdminPort() throws Exception {
    try (CommandProcess wrong = start("--oip-admin")) {
      assertEquals(2, wrong.exitCode(), wrong.err());
      assertTrue(wrong.err().startsWith("--oip-admin needs --admin-port"), wrong.err());
    }
  }

  @Test
  void whatDoesNotArriveAndWhatTakesTooLongEnds() throws Exception {
    try (CommandProcess server = start("--default-timeout-seconds=1")) {
      try (Socket silent = new Socket("localhost", server.port("http"))) {
        silent.setSoTimeout(30_000);
        silent
            .getOutputStream()
            .write(
                "POST /v2/models/tight/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"
                    .getBytes(StandardCharsets.US_ASCII));
        // Closed, with whatever was still said.
        silent.getInputStream().readAllBytes();
      } catch (IOException e) {
        // Or reset.
        assertTrue(!(e instanceof SocketTimeoutException), e.toString());
      }
      ManagedChannel channel = channel(server);
      try {
        assertTrue(stub(channel).serverReady(ServerReadyRequest.getDefaultInstance()).getReady());
        assertEquals(
            "guildhall",
            stub(channel).serverMetadata(ServerMetadataRequest.getDefaultInstance()).getName());
      } finally {
        channel.shutdownNow();
      }
      server.terminate();
      assertEquals(0, server.exitCode(), server.err());
    }
  }

  private CommandProcess start(String... flags) throws IOException {
    return CommandProcess.start(
        folder,
        Stream.concat(
                Stream.of("serve", "--repository=" + repository, "--port=0", "--metrics-port=0"),
                Stream.of(flags))
            .toArray(String[]::new));
  }

  private static ManagedChannel channel(CommandProcess server) throws InterruptedException {
    return NettyChannelBuilder.forTarget("localhost:" + server.port("grpc")).usePlaintext().build();
  }

  private static GRPCInferenceServiceGrpc.GRPCInferenceServiceBlockingStub stub(
      ManagedChannel channel) {
    return GRPCInferenceServiceGrpc.newBlockingStub(channel)
        .withDeadlineAfter(30, TimeUnit.SECONDS);
  }
}
