package dev.guildhall.rpc;

import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static java.nio.charset.StandardCharsets.US_ASCII;
import static java.util.Objects.requireNonNull;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.guildhall.proto.DescribeRequest;
import dev.guildhall.proto.DescribeResponse;
import dev.guildhall.proto.ExpertServiceGrpc;
import io.grpc.CallOptions;
import io.grpc.ClientCall;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor.MethodType;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.health.v1.HealthCheckRequest;
import io.grpc.health.v1.HealthGrpc;
import io.grpc.stub.MetadataUtils;
import io.grpc.stub.StreamObserver;
import java.io.IOException;
import java.net.InetAddress;
import java.net.Socket;
import java.net.SocketException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** What strangers on real sockets can take from a server, with bounds made small. */
@Timeout(120)
class ServerBoundsTest {
  private static final Duration LONG = Duration.ofHours(1);
  private static final Duration SHORT = Duration.ofMillis(100);
  private static final String PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
  private static final String EMPTY_SETTINGS = "\0\0\0\4\0\0\0\0\0";

  private final Transport client = new Transport(1, 1 << 20);
  private final List<ManagedChannel> channels = new ArrayList<>();
  private final Waiting service = new Waiting();

  @TempDir private Path folder;

  @AfterEach
  void close() {
    channels.forEach(ManagedChannel::shutdownNow);
    client.close();
  }

  private static ServerBounds bounds(
      int calls, int connections, Duration handshake, Duration ping) {
    return new ServerBounds(8 << 10, calls, connections, handshake, ping, SHORT);
  }

  @Test
  void headersBeyondTheBoundAreRefusedAndOtherConnectionsServed() throws Exception {
    try (Transport transport = server(ServerBounds.STANDARD);
        RpcServer server = start(transport)) {
      ManagedChannel channel = channel("localhost", server);
      Metadata headers = new Metadata();
      headers.put(
          Metadata.Key.of("padding", Metadata.ASCII_STRING_MARSHALLER), "x".repeat(64 << 10));
      StatusRuntimeException e =
          assertThrows(
              StatusRuntimeException.class,
              () ->
                  HealthGrpc.newBlockingStub(channel)
                      .withInterceptors(MetadataUtils.newAttachHeadersInterceptor(headers))
                      .withDeadlineAfter(30, TimeUnit.SECONDS)
                      .check(HealthCheckRequest.getDefaultInstance()));
      assertNotEquals(Status.Code.DEADLINE_EXCEEDED, e.getStatus().getCode());
      check(channel("localhost", server));
    }
  }

  @Test
  void callsBeyondTheBoundOfAConnectionWait() throws Exception {
    try (Transport transport = server(bounds(2, 10, LONG, LONG));
        RpcServer server = start(transport)) {
      ManagedChannel channel = channel("localhost", server);
      check(channel);
      for (int call = 0; call < 3; call++) {
        ExpertServiceGrpc.newStub(channel)
            .describe(DescribeRequest.getDefaultInstance(), new Ignored());
      }
      StreamObserver<DescribeResponse> first = service.next();
      service.next();
      // Another connection is another peer; its answer shows that the third call is not just late.
      check(channel("127.0.0.1", server));
      assertTrue(service.calls.isEmpty());
      first.onCompleted();
      service.next();
    }
  }

  @Test
  void aConnectionThatSaysNothingIsClosed() throws Exception {
    TestCa ca = new TestCa("ours");
    ServerTls tls = new ServerTls(ca.issue(folder, "server"), Optional.empty());
    for (Optional<ServerTls> mode : List.of(Optional.<ServerTls>empty(), Optional.of(tls))) {
      try (Transport transport = server(mode, bounds(10, 10, SHORT, LONG));
          RpcServer server = start(transport);
          Socket silent = connect(server)) {
        assertClosed(silent);
      }
    }
  }

  @Test
  void aConnectionThatAnswersNoPingIsClosed() throws Exception {
    try (Transport transport = server(bounds(10, 10, LONG, SHORT));
        RpcServer server = start(transport);
        Socket halfOpen = connect(server)) {
      ManagedChannel living = channel("localhost", server);
      check(living);
      halfOpen.getOutputStream().write((PREFACE + EMPTY_SETTINGS).getBytes(ISO_8859_1));
      assertClosed(halfOpen);
      check(living);
    }
  }

  @Test
  void connectionsBeyondTheBoundAreClosedUntilOthersEnd() throws Exception {
    try (Transport transport = server(bounds(10, 2, LONG, LONG));
        RpcServer server = start(transport)) {
      ManagedChannel good = channel("localhost", server);
      check(good);
      try (Socket _ = connect(server)) {
        try (Socket third = connect(server)) {
          assertClosed(third);
        }
        check(good);
      }
      Await.until("there is room again", () -> isTaken(server));
    }
  }

  private static boolean isTaken(RpcServer server) throws IOException {
    try (Socket socket = connect(server)) {
      socket.getOutputStream().write((PREFACE + EMPTY_SETTINGS).getBytes(US_ASCII));
      return socket.getInputStream().read() >= 0;
    } catch (IOException e) {
      return false;
    }
  }

  @Test
  void aRequestThatDoesNotArriveIsEndedAndLaterOnesAreServed() throws Exception {
    try (Transport transport = server(ServerBounds.STANDARD);
        RpcServer server =
            RpcServer.start(
                transport.server(0).intercept(new ArrivalTimeout(transport.timer(), SHORT)),
                List.of(service),
                Duration.ZERO)) {
      ManagedChannel channel = channel("localhost", server);
      // The client of a unary call holds the headers back until it has the request.
      ClientCall<DescribeRequest, DescribeResponse> call =
          channel.newCall(
              ExpertServiceGrpc.getDescribeMethod().toBuilder()
                  .setType(MethodType.CLIENT_STREAMING)
                  .build(),
              CallOptions.DEFAULT);
      CompletableFuture<Status> end = new CompletableFuture<>();
      call.start(
          new ClientCall.Listener<>() {
            @Override
            public void onClose(Status status, Metadata trailers) {
              end.complete(status);
            }
          },
          new Metadata());
      Status status = end.get(30, TimeUnit.SECONDS);
      assertEquals(Status.Code.DEADLINE_EXCEEDED, status.getCode());
      assertEquals("the request did not arrive within 100 ms", status.getDescription());
      ExpertServiceGrpc.newStub(channel)
          .describe(DescribeRequest.getDefaultInstance(), new Ignored());
      service.next();
    }
  }

  private static Transport server(ServerBounds bounds) {
    return server(Optional.empty(), bounds);
  }

  private static Transport server(Optional<ServerTls> tls, ServerBounds bounds) {
    return new Transport(1, 1 << 20, TransportTls.of(tls, Optional.empty()), bounds);
  }

  private RpcServer start(Transport transport) throws IOException {
    return RpcServer.start(transport.server(0), List.of(service), Duration.ZERO);
  }

  private ManagedChannel channel(String host, RpcServer server) {
    ManagedChannel channel = client.channel(host + ":" + server.port());
    channels.add(channel);
    return channel;
  }

  private static Socket connect(RpcServer server) throws IOException {
    Socket socket = new Socket(InetAddress.getLoopbackAddress(), server.port());
    socket.setSoTimeout(30_000);
    return socket;
  }

  /** Reads to the end, which a connection that stays open does not have. */
  private static void assertClosed(Socket socket) throws IOException {
    try {
      socket.getInputStream().readAllBytes();
    } catch (SocketException e) {
      assertTrue(String.valueOf(e.getMessage()).contains("reset"), e::toString);
    }
  }

  private static void check(ManagedChannel channel) {
    HealthGrpc.newBlockingStub(channel)
        .withDeadlineAfter(30, TimeUnit.SECONDS)
        .check(HealthCheckRequest.getDefaultInstance());
  }

  /** Answers when it is told to. */
  private static final class Waiting extends ExpertServiceGrpc.ExpertServiceImplBase {
    private final LinkedBlockingQueue<StreamObserver<DescribeResponse>> calls =
        new LinkedBlockingQueue<>();

    @Override
    public void describe(DescribeRequest request, StreamObserver<DescribeResponse> responses) {
      calls.add(responses);
    }

    StreamObserver<DescribeResponse> next() throws InterruptedException {
      StreamObserver<DescribeResponse> call = calls.poll(30, TimeUnit.SECONDS);
      assertTrue(call != null, "no call came");
      return requireNonNull(call);
    }
  }

  private static class Ignored implements StreamObserver<DescribeResponse> {
    @Override
    public void onNext(DescribeResponse response) {}

    @Override
    public void onError(Throwable failure) {}

    @Override
    public void onCompleted() {}
  }
}
