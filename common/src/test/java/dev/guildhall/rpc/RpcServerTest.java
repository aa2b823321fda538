package dev.guildhall.rpc;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.guildhall.error.GuildhallException;
import dev.guildhall.proto.DescribeRequest;
import dev.guildhall.proto.DescribeResponse;
import dev.guildhall.proto.ExpertServiceGrpc;
import io.grpc.ManagedChannel;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.health.v1.HealthCheckRequest;
import io.grpc.health.v1.HealthCheckResponse.ServingStatus;
import io.grpc.health.v1.HealthGrpc;
import io.grpc.reflection.v1.ServerReflectionGrpc;
import io.grpc.reflection.v1.ServerReflectionRequest;
import io.grpc.reflection.v1.ServerReflectionResponse;
import io.grpc.reflection.v1.ServiceResponse;
import io.grpc.stub.StreamObserver;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

@Timeout(60)
class RpcServerTest {
  private final Transport transport = new Transport(1, 1 << 20);

  @TempDir Path folder;

  @AfterEach
  void close() {
    transport.close();
  }

  @Test
  void isHealthyOnlyOnceItSaysSo() throws IOException {
    try (RpcServer server = start(new Silent(), Duration.ofSeconds(5))) {
      ManagedChannel channel = transport.channel("localhost:" + server.port());
      assertEquals(ServingStatus.NOT_SERVING, health(channel, ""));
      server.serving(true);
      assertEquals(ServingStatus.SERVING, health(channel, ""));
      assertEquals(ServingStatus.SERVING, health(channel, ExpertServiceGrpc.SERVICE_NAME));
      server.serving(false);
      assertEquals(ServingStatus.NOT_SERVING, health(channel, ExpertServiceGrpc.SERVICE_NAME));
      channel.shutdownNow();
    }
  }

  @Test
  void listsItsServicesByReflection() throws Exception {
    try (RpcServer server = start(new Silent(), Duration.ofSeconds(5))) {
      ManagedChannel channel = transport.channel("localhost:" + server.port());
      CompletableFuture<ServerReflectionResponse> answer = new CompletableFuture<>();
      StreamObserver<ServerReflectionRequest> requests =
          ServerReflectionGrpc.newStub(channel).serverReflectionInfo(completing(answer));
      requests.onNext(ServerReflectionRequest.newBuilder().setListServices("").build());
      List<String> names =
          answer.get(10, TimeUnit.SECONDS).getListServicesResponse().getServiceList().stream()
              .map(ServiceResponse::getName)
              .toList();
      assertTrue(names.contains(ExpertServiceGrpc.SERVICE_NAME), names::toString);
      assertTrue(names.contains(HealthGrpc.SERVICE_NAME), names::toString);
      // What clients of either version of reflection ask for.
      assertTrue(names.contains("grpc.reflection.v1.ServerReflection"), names::toString);
      assertTrue(names.contains("grpc.reflection.v1alpha.ServerReflection"), names::toString);
      requests.onCompleted();
      channel.shutdownNow();
    }
  }

  @Test
  void endsACallThatOutlivesTheGracePeriod() throws Exception {
    Silent service = new Silent();
    CompletableFuture<DescribeResponse> answer = new CompletableFuture<>();
    try (RpcServer server = start(service, Duration.ZERO)) {
      ManagedChannel channel = transport.channel("localhost:" + server.port());
      ExpertServiceGrpc.newStub(channel)
          .describe(DescribeRequest.getDefaultInstance(), completing(answer));
      service.called.get(10, TimeUnit.SECONDS);
    }
    Exception failure = assertThrows(Exception.class, () -> answer.get(10, TimeUnit.SECONDS));
    assertTrue(failure.getCause() instanceof StatusRuntimeException, failure::toString);
    Status.Code code = Status.fromThrowable(failure.getCause()).getCode();
    assertTrue(code == Status.Code.UNAVAILABLE || code == Status.Code.CANCELLED, code::name);
  }

  @Test
  void leavesAFileAloneThatIsNoSocket() throws IOException {
    Path file = Files.writeString(folder.resolve("notes.txt"), "mine");
    GuildhallException refusal =
        assertThrows(GuildhallException.class, () -> transport.server(file));
    assertTrue(refusal.getMessage().contains("notes.txt is not a socket"));
    assertEquals("mine", Files.readString(file));
  }

  @Test
  void leavesTheSocketOfAServerThatAnswersAlone() throws IOException {
    Path socket = folder.resolve("expert.sock");
    try (RpcServer server =
        RpcServer.start(transport.server(socket), List.of(new Silent()), Duration.ZERO)) {
      server.serving(true);
      GuildhallException refusal =
          assertThrows(GuildhallException.class, () -> transport.server(socket));
      assertTrue(refusal.getMessage().contains("a server answers at"), refusal::getMessage);
      ManagedChannel channel = transport.channel("unix://" + socket);
      assertEquals(ServingStatus.SERVING, health(channel, ""));
      channel.shutdownNow();
    }
  }

  @Test
  void replacesTheSocketOfAServerThatIsGone() throws IOException {
    Path socket = folder.resolve("expert.sock");
    for (int start = 0; start < 2; start++) {
      try (RpcServer server =
          RpcServer.start(transport.server(socket), List.of(new Silent()), Duration.ZERO)) {
        server.serving(true);
        ManagedChannel channel = transport.channel("unix://" + socket);
        assertEquals(ServingStatus.SERVING, health(channel, ""));
        channel.shutdownNow();
      }
    }
  }

  private RpcServer start(Silent service, Duration grace) throws IOException {
    return RpcServer.start(transport.server(0), List.of(service), grace);
  }

  private static ServingStatus health(ManagedChannel channel, String service) {
    return HealthGrpc.newBlockingStub(channel)
        .withDeadlineAfter(10, TimeUnit.SECONDS)
        .check(HealthCheckRequest.newBuilder().setService(service).build())
        .getStatus();
  }

  private static <T> StreamObserver<T> completing(CompletableFuture<T> answer) {
    return new StreamObserver<>() {
      @Override
      public void onNext(T value) {
        answer.complete(value);
      }

      @Override
      public void onError(Throwable failure) {
        answer.completeExceptionally(failure);
      }

      @Override
      public void onCompleted() {}
    };
  }

  /** Takes calls and never answers. */
  private static final class Silent extends ExpertServiceGrpc.ExpertServiceImplBase {
    private final CompletableFuture<Void> called = new CompletableFuture<>();

    @Override
    public void describe(DescribeRequest request, StreamObserver<DescribeResponse> responses) {
      called.complete(null);
    }
  }
}
