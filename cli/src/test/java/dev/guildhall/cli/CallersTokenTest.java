package dev.guildhall.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.guildhall.metrics.MetricNames;
import dev.guildhall.proto.ForwardRequest;
import dev.guildhall.proto.ForwardResponse;
import dev.guildhall.proto.ListLayersRequest;
import dev.guildhall.proto.MoeLayerServiceGrpc;
import dev.guildhall.repository.LayerRepository;
import dev.guildhall.router.RouterOptions;
import dev.guildhall.router.RouterServer;
import dev.guildhall.rpc.Transport;
import io.grpc.Channel;
import io.grpc.ClientInterceptors;
import io.grpc.Context;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.health.v1.HealthCheckRequest;
import io.grpc.health.v1.HealthCheckResponse.ServingStatus;
import io.grpc.health.v1.HealthGrpc;
import io.grpc.reflection.v1.ServerReflectionGrpc;
import io.grpc.reflection.v1.ServerReflectionRequest;
import io.grpc.reflection.v1.ServerReflectionResponse;
import io.grpc.stub.MetadataUtils;
import io.grpc.stub.StreamObserver;
import io.micrometer.core.instrument.MeterRegistry;
import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.security.MessageDigest;
import java.time.Duration;
import java.util.HexFormat;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** A router that knows its callers by their tokens; its experts hold what they get. */
class CallersTokenTest {
  private static final String LAYER = "layer";
  private static final int HIDDEN = 8;
  private static final Metadata.Key<String> AUTHORIZATION =
      Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);
  private static final String REFUSAL =
      "the call has no right token; allowed is the header \"authorization: Bearer TOKEN\" with a"
          + " token of this router";

  @TempDir private Path folder;
  @TempDir private Path config;

  private final Transport transport = new Transport(1, 1 << 20);
  private final MeterRegistry registry = new SimpleMeterRegistry();
  private Path callers;
  private SilentExperts experts;
  private RouterServer router;
  private ManagedChannel channel;

  @BeforeEach
  void start() throws Exception {
    LayerFiles.mlp(
        folder, LAYER, "{\"hidden_size\": 8, \"num_experts\": 2, \"drop_tokens\": false}");
    callers = config.resolve("callers.json");
    writeCallers(
        """
        {"callers": [
          {"name": "search", "token_sha256": "%s", "max_tokens_in_flight": 4},
          {"name": "ranking", "token_sha256": "%s"}]}\
        """
            .formatted(sha256("of-search"), sha256("of-ranking")));
    experts = new SilentExperts(transport, LAYER, HIDDEN, 2);
    RouterOptions usual = ServedSystem.options(List.of(experts.target()));
    router =
        RouterServer.start(
            new RouterOptions(
                usual.experts(),
                usual.port(),
                usual.maxTokensInFlight(),
                usual.exchange(),
                usual.defaultTimeout(),
                usual.maxConnectionAge(),
                Duration.ofMillis(5),
                Optional.of(callers)),
            LayerRepository.open(folder),
            transport,
            transport::channel,
            registry);
    router.ready().get(30, TimeUnit.SECONDS);
    channel = transport.channel("localhost:" + router.port());
  }

  @AfterEach
  void stop() {
    channel.shutdownNow();
    router.close();
    experts.close();
    transport.close();
  }

  @ParameterizedTest
  @ValueSource(strings = {"", "of-search", "Basic of-search", "Bearer", "Bearer ", "Bearer guess"})
  void whoeverHasNoRightTokenIsRefusedInTheSameWords(String authorization) throws Exception {
    Channel stranger = authorization.isEmpty() ? channel : authorized(authorization);
    assertRefused(() -> list(stranger));
    assertRefused(() -> MoeLayerServiceGrpc.newBlockingStub(stranger).forward(request(1)));
    assertRefused(() -> streamed(stranger, request(1)));
    CompletableFuture<ServerReflectionResponse> reflection = new CompletableFuture<>();
    ServerReflectionGrpc.newStub(stranger)
        .serverReflectionInfo(into(reflection))
        .onNext(ServerReflectionRequest.newBuilder().setListServices("").build());
    assertRefused(() -> get(reflection));
    assertEquals(
        ServingStatus.SERVING,
        HealthGrpc.newBlockingStub(stranger)
            .check(HealthCheckRequest.getDefaultInstance())
            .getStatus());
    assertEquals(1, list(as("of-search")));
    assertEquals(0, tokensInFlight());
  }

  @Test
  void theSchemesNameCountsInAnyCase() {
    assertEquals(1, list(authorized("bearer of-search")));
  }

  @Test
  void aCallersLimitHoldsForItAloneInCallsAndStreams() {
    Context.CancellableContext inFlight = Context.current().withCancellation();
    inFlight.run(
        () -> MoeLayerServiceGrpc.newStub(as("of-search")).forward(request(3), new Recorded<>()));
    Await.until("three tokens are in flight", () -> tokensInFlight() == 3);
    String limit =
        "caller search: 3 tokens are in flight and the request has 2; allowed are 4 at once, try"
            + " again later";
    StatusRuntimeException e =
        assertThrows(
            StatusRuntimeException.class,
            () -> MoeLayerServiceGrpc.newBlockingStub(as("of-search")).forward(request(2)));
    assertEquals(Status.Code.RESOURCE_EXHAUSTED, e.getStatus().getCode());
    assertEquals(limit, e.getStatus().getDescription());
    ForwardResponse answer = streamed(as("of-search"), request(2));
    assertEquals(Status.Code.RESOURCE_EXHAUSTED.value(), answer.getError().getCode());
    assertEquals(limit, answer.getError().getMessage());

    Context.CancellableContext other = Context.current().withCancellation();
    other.run(
        () -> MoeLayerServiceGrpc.newStub(as("of-ranking")).forward(request(9), new Recorded<>()));
    Await.until("another caller's are too", () -> tokensInFlight() == 12);
    inFlight.cancel(null);
    other.cancel(null);
    Await.until("nothing is in flight", () -> tokensInFlight() == 0);
    Context.CancellableContext later = Context.current().withCancellation();
    later.run(
        () -> MoeLayerServiceGrpc.newStub(as("of-search")).forward(request(4), new Recorded<>()));
    Await.until("the caller has its limit again", () -> tokensInFlight() == 4);
    later.cancel(null);
  }

  @Test
  void aRequestBeyondTheCallersLimitNeverFits() {
    StatusRuntimeException e =
        assertThrows(
            StatusRuntimeException.class,
            () -> MoeLayerServiceGrpc.newBlockingStub(as("of-search")).forward(request(5)));
    assertEquals(Status.Code.INVALID_ARGUMENT, e.getStatus().getCode());
    assertEquals(
        "caller search: the request has 5 tokens; allowed are up to 4",
        e.getStatus().getDescription());
  }

  @Test
  void callersComeAndGoWithTheirFile() throws Exception {
    writeCallers("{\"callers\": [{\"name\": \"broken\"");
    writeCallers(
        "{\"callers\": [{\"name\": \"search\", \"token_sha256\": \"%s\"}]}"
            .formatted(sha256("renewed")));
    Await.until("the new token is known", () -> isKnown("renewed"));
    assertFalse(isKnown("of-search"));
    assertFalse(isKnown("of-ranking"));
    writeCallers("{\"callers\": [{\"name\": \"broken\"");
    assertTrue(isKnown("renewed"));
  }

  private boolean isKnown(String token) {
    try {
      return list(as(token)) == 1;
    } catch (StatusRuntimeException e) {
      assertEquals(Status.Code.UNAUTHENTICATED, e.getStatus().getCode());
      return false;
    }
  }

  private void writeCallers(String json) throws Exception {
    Path whole = Files.writeString(config.resolve("whole"), json);
    Files.move(whole, callers, StandardCopyOption.ATOMIC_MOVE);
  }

  private static String sha256(String token) throws Exception {
    return HexFormat.of()
        .formatHex(
            MessageDigest.getInstance("SHA-256").digest(token.getBytes(StandardCharsets.UTF_8)));
  }

  private Channel as(String token) {
    return authorized("Bearer " + token);
  }

  private Channel authorized(String authorization) {
    Metadata headers = new Metadata();
    headers.put(AUTHORIZATION, authorization);
    return ClientInterceptors.intercept(
        channel, MetadataUtils.newAttachHeadersInterceptor(headers));
  }

  private static int list(Channel channel) {
    return MoeLayerServiceGrpc.newBlockingStub(channel)
        .withDeadlineAfter(30, TimeUnit.SECONDS)
        .listLayers(ListLayersRequest.getDefaultInstance())
        .getLayersCount();
  }

  private static ForwardResponse streamed(Channel channel, ForwardRequest request) {
    CompletableFuture<ForwardResponse> answer = new CompletableFuture<>();
    MoeLayerServiceGrpc.newStub(channel).forwardStream(into(answer)).onNext(request);
    return get(answer);
  }

  private static <T> T get(CompletableFuture<T> answer) {
    try {
      return answer.get(30, TimeUnit.SECONDS);
    } catch (ExecutionException e) {
      throw Status.fromThrowable(e.getCause()).asRuntimeException();
    } catch (Exception e) {
      throw new AssertionError(e);
    }
  }

  private static <T> StreamObserver<T> into(CompletableFuture<T> answer) {
    return new StreamObserver<>() {
      @Override
      public void onNext(T message) {
        answer.complete(message);
      }

      @Override
      public void onError(Throwable failure) {
        answer.completeExceptionally(failure);
      }

      @Override
      public void onCompleted() {}
    };
  }

  private static void assertRefused(Executable call) {
    StatusRuntimeException e = assertThrows(StatusRuntimeException.class, call);
    assertEquals(Status.Code.UNAUTHENTICATED, e.getStatus().getCode());
    assertEquals(REFUSAL, e.getStatus().getDescription());
  }

  private static ForwardRequest request(int tokens) {
    return Requests.random(LAYER, tokens, HIDDEN, tokens).build();
  }

  private double tokensInFlight() {
    return registry.get(MetricNames.TOKENS_IN_FLIGHT).gauge().value();
  }
}
