package dev.guildhall.rpc;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.guildhall.error.ErrorCode;
import dev.guildhall.error.GuildhallException;
import dev.guildhall.files.KeptFiles;
import dev.guildhall.metrics.Metrics;
import dev.guildhall.tracing.Tracing;
import io.grpc.ManagedChannel;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.health.v1.HealthCheckRequest;
import io.grpc.health.v1.HealthCheckResponse.ServingStatus;
import io.grpc.health.v1.HealthGrpc;
import io.netty.pkitesting.CertificateBuilder;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import javax.net.ssl.SSLContext;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** TLS and mutual TLS with real certificates over the loopback. */
@Timeout(120)
class TlsTest {
  private static final Duration RELOAD = Duration.ofMillis(5);

  @TempDir private Path folder;

  private final List<ManagedChannel> channels = new ArrayList<>();
  private TestCa ca;
  private Path caFile;
  private ServerTls serverTls;
  private ClientTls goodClient;

  @BeforeEach
  void issueCertificates() throws Exception {
    ca = new TestCa("ours");
    caFile = ca.write(folder.resolve("ca.pem"));
    serverTls = ca.server(folder, ca.issue(folder, "server"));
    goodClient = new ClientTls(caFile, Optional.of(ca.issue(folder, "client")));
  }

  @AfterEach
  void shutDown() {
    channels.forEach(ManagedChannel::shutdownNow);
  }

  private ManagedChannel channel(Transport transport, String target) {
    ManagedChannel channel = transport.channel(target);
    channels.add(channel);
    return channel;
  }

  @Test
  void aClientThatTheServerDoesNotKnowGetsNothingAndOthersAreServed() throws Exception {
    TestCa stranger = new TestCa("stranger");
    Path strangerFile = stranger.write(folder.resolve("stranger.pem"));
    try (Transport transport = server(serverTls);
        RpcServer server = start(transport)) {
      int port = server.port();
      assertServes(port, goodClient);
      assertRefuses(port, new ClientTls(caFile, Optional.empty()));
      assertRefuses(
          port, new ClientTls(caFile, Optional.of(stranger.issue(folder, "of-stranger"))));
      assertRefuses(port, new ClientTls(caFile, Optional.of(ca.issueExpired(folder, "expired"))));
      // And a server that the client does not know.
      assertRefuses(port, new ClientTls(strangerFile, goodClient.identity()));
      try (Transport plaintext = new Transport(1, 1 << 20)) {
        assertUnavailable(channel(plaintext, "localhost:" + port));
      }
      assertServes(port, goodClient);
    }
  }

  @Test
  void aServersCertificateMustBeForTheHostAndValid() throws Exception {
    for (PemIdentity identity :
        List.of(
            ca.issue(folder, "elsewhere", "elsewhere.example"),
            ca.issueExpired(folder, "expired"))) {
      try (Transport transport = server(new ServerTls(identity, Optional.empty()));
          RpcServer server = start(transport)) {
        assertRefuses(server.port(), goodClient);
      }
    }
  }

  @Test
  void aServersCertificateMayBeForANameOtherThanTheTargets() throws Exception {
    PemIdentity identity = ca.issue(folder, "elsewhere", "elsewhere.example");
    try (Transport transport = server(new ServerTls(identity, Optional.empty()));
        RpcServer server = start(transport)) {
      Optional<String> name = Optional.of("elsewhere.example");
      assertServes(server.port(), new ClientTls(caFile, Optional.empty(), name));
      assertRefuses(server.port(), new ClientTls(caFile, Optional.empty()));
    }
  }

  @Test
  void withoutAClientCaAnyClientIsServed() throws Exception {
    try (Transport transport = server(new ServerTls(serverTls.identity(), Optional.empty()));
        RpcServer server = start(transport)) {
      assertServes(server.port(), new ClientTls(caFile, Optional.empty()));
    }
  }

  @Test
  void servesOverAUnixDomainSocketToo() throws Exception {
    Path socket = folder.resolve("expert.sock");
    try (Transport transport = server(serverTls);
        RpcServer server = RpcServer.start(transport.server(socket), List.of(), Duration.ZERO);
        Transport client = client(goodClient)) {
      assertEquals(-1, server.port());
      assertAnswers(channel(client, "unix://" + socket));
    }
  }

  @Test
  void newConnectionsTakeTheCertificatesThatTheFilesHaveNow() throws Exception {
    TestCa next = new TestCa("next");
    // The same certificates in files that will not change.
    Path old = Files.createDirectory(folder.resolve("old"));
    ClientTls oldClient =
        new ClientTls(
            Files.copy(caFile, old.resolve("ca.pem")), Optional.of(ca.issue(old, "client")));
    try (Transport transport = server(serverTls);
        RpcServer server = start(transport);
        Transport followingClient = client(goodClient);
        Transport leftBehind = client(oldClient)) {
      ManagedChannel following = channel(followingClient, "localhost:" + server.port());
      ManagedChannel left = channel(leftBehind, "localhost:" + server.port());
      assertAnswers(following);
      assertAnswers(left);

      next.issue(folder, "server");
      next.write(folder.resolve("client-ca.pem"));
      // An open connection lives on.
      assertAnswers(left);
      Await.until("who stays with the old CA is refused", () -> !answersAnew(left));

      next.write(caFile);
      next.issue(folder, "client");
      Await.until("the same channel connects with the new ones", () -> answersAnew(following));
      assertFalse(answersAnew(left));
    }
  }

  @Test
  void brokenNewFilesLeaveTheOldCertificateInUse() throws Exception {
    try (KeptFiles kept = new KeptFiles();
        Transport transport = server(serverTls);
        RpcServer server = start(transport)) {
      Files.writeString(serverTls.identity().certificate(), "-----BEGIN CERTIFICATE-----\nAAAA");
      Files.delete(serverTls.clientCa().get());
      Await.until("both were looked at", () -> kept.warnings().size() >= 2);
      assertServes(server.port(), goodClient);
    }
  }

  @Test
  void refusesFilesAtTheStartThatAreMissingOrWrong() throws Exception {
    PemIdentity right = serverTls.identity();
    Path missing = folder.resolve("missing.pem");
    Path text = Files.writeString(folder.resolve("text.pem"), "s3cret");
    Path broken =
        Files.writeString(
            folder.resolve("broken.pem"),
            Files.readString(right.key()).replaceFirst("\n[A-Za-z0-9+/]{8}", "\n!s3cret!"));
    PemIdentity other = ca.issue(folder, "other");
    Path rsa = folder.resolve("rsa.key");
    Files.writeString(
        rsa,
        new CertificateBuilder()
            .rsa2048()
            .subject("CN=rsa")
            .setIsCertificateAuthority(true)
            .buildSelfSigned()
            .getPrivateKeyPEM());

    refuses(ErrorCode.NOT_FOUND, new PemIdentity(missing, right.key()), missing + " does not");
    refuses(ErrorCode.NOT_FOUND, new PemIdentity(right.certificate(), missing), "missing.pem does");
    refuses(new PemIdentity(text, right.key()), text + " has no right certificate; allowed are");
    refuses(new PemIdentity(right.key(), right.key()), right.key() + " has no right certificate");
    refuses(new PemIdentity(right.certificate(), text), text + " has no right private key;");
    refuses(new PemIdentity(right.certificate(), broken), broken + " has no right private key;");
    for (Path key : List.of(other.key(), rsa)) {
      refuses(
          new PemIdentity(right.certificate(), key),
          "the key in " + key + " does not belong to the first certificate in");
    }
    GuildhallException e =
        assertThrows(
            GuildhallException.class, () -> client(new ClientTls(text, Optional.empty())).close());
    assertTrue(e.getMessage().contains(text + " has no right certificate"), e.getMessage());
  }

  private void refuses(PemIdentity identity, String message) {
    refuses(ErrorCode.INVALID_ARGUMENT, identity, message);
  }

  private void refuses(ErrorCode code, PemIdentity identity, String message) {
    GuildhallException e =
        assertThrows(
            GuildhallException.class,
            () -> server(new ServerTls(identity, Optional.empty())).close());
    assertEquals(code, e.code(), e.getMessage());
    assertTrue(e.getMessage().contains(message), e.getMessage());
    assertFalse(e.getMessage().contains("s3cret"), e.getMessage());
  }

  @Test
  void metricsAreShownOverHttpsToKnownClients() throws Exception {
    SSLContext known = SSLContext.getInstance("TLS");
    known.init(
        ca.bundle("client").toKeyManagerFactory().getKeyManagers(),
        ca.authority().toTrustManagerFactory().getTrustManagers(),
        null);
    SSLContext unknown = SSLContext.getInstance("TLS");
    unknown.init(null, ca.authority().toTrustManagerFactory().getTrustManagers(), null);
    try (Transport transport = server(serverTls);
        Metrics metrics = new Metrics(0, transport.https(), Tracing.off())) {
      String address = "localhost:%d/metrics".formatted(metrics.port());
      assertTrue(get(known, "https://" + address).contains("jvm_memory_used_bytes"));
      assertThrows(IOException.class, () -> get(unknown, "https://" + address));
      assertThrows(IOException.class, () -> get(known, "http://" + address));
      assertTrue(get(known, "https://" + address).contains("jvm_memory_used_bytes"));
    }
  }

  private static String get(SSLContext context, String uri) throws Exception {
    try (HttpClient http = HttpClient.newBuilder().sslContext(context).build()) {
      return http.send(
              HttpRequest.newBuilder(URI.create(uri)).build(), HttpResponse.BodyHandlers.ofString())
          .body();
    }
  }

  private static Transport server(ServerTls tls) {
    return new Transport(1, 1 << 20, new TransportTls(Optional.of(tls), Optional.empty(), RELOAD));
  }

  private static Transport client(ClientTls tls) {
    return new Transport(1, 1 << 20, new TransportTls(Optional.empty(), Optional.of(tls), RELOAD));
  }

  private static RpcServer start(Transport transport) throws IOException {
    RpcServer server = RpcServer.start(transport.server(0), List.of(), Duration.ZERO);
    server.serving(true);
    return server;
  }

  private void assertServes(int port, ClientTls tls) {
    try (Transport client = client(tls)) {
      assertAnswers(channel(client, "localhost:" + port));
    }
  }

  private void assertRefuses(int port, ClientTls tls) {
    try (Transport client = client(tls)) {
      assertUnavailable(channel(client, "localhost:" + port));
    }
  }

  private static void assertUnavailable(ManagedChannel channel) {
    StatusRuntimeException e = assertThrows(StatusRuntimeException.class, () -> check(channel));
    assertEquals(Status.Code.UNAVAILABLE, e.getStatus().getCode(), e.getMessage());
  }

  private static void assertAnswers(ManagedChannel channel) {
    check(channel);
  }

  /** Whether a new connection of the channel is served. */
  private static boolean answersAnew(ManagedChannel channel) {
    channel.enterIdle();
    try {
      check(channel);
      return true;
    } catch (StatusRuntimeException e) {
      assertEquals(Status.Code.UNAVAILABLE, e.getStatus().getCode(), e.getMessage());
      return false;
    }
  }

  private static ServingStatus check(ManagedChannel channel) {
    return HealthGrpc.newBlockingStub(channel)
        .withDeadlineAfter(30, TimeUnit.SECONDS)
        .check(HealthCheckRequest.getDefaultInstance())
        .getStatus();
  }
}
