package dev.guildhall.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.ByteString;
import com.google.protobuf.UnsafeByteOperations;
import dev.guildhall.proto.ForwardRequest;
import dev.guildhall.proto.ForwardResponse;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.StreamObserver;
import java.io.IOException;
import java.time.Duration;
import java.util.List;
import java.util.Queue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.BiConsumer;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class RouterClientTest {
  private static final Duration LONG = Duration.ofSeconds(30);
  private static final Metadata.Key<String> PUSHBACK =
      Metadata.Key.of("grpc-retry-pushback-ms", Metadata.ASCII_STRING_MARSHALLER);

  private final ScriptedRouter router;
  private final ManagedChannel channel;

  RouterClientTest() throws IOException {
    router = new ScriptedRouter();
    channel = router.connection().withToken("s3cret").open();
  }

  private RouterClient client(
      BiConsumer<ForwardRequest, StreamObserver<ForwardResponse>> script, Duration timeout) {
    router.script(script);
    return new RouterClient(channel, timeout);
  }

  @AfterEach
  void stop() {
    channel.shutdownNow();
    router.close();
  }

  private static ForwardRequest request(String text) {
    return ForwardRequest.newBuilder()
        .setLayer("digits")
        .setHiddenStates(ByteString.copyFromUtf8(text))
        .build();
  }

  private static void answer(ForwardRequest request, StreamObserver<ForwardResponse> to) {
    to.onNext(ScriptedRouter.echo(request));
    to.onCompleted();
  }

  @Test
  void blocksOrNot() throws Exception {
    RouterClient client = client(RouterClientTest::answer, LONG);
    assertEquals("a", client.forward(request("a")).getOutput().toStringUtf8());
    assertEquals(
        "b",
        client.forwardAsync(request("b")).get(30, TimeUnit.SECONDS).getOutput().toStringUtf8());
  }

  @Test
  void showsItsToken() throws Exception {
    AtomicReference<String> token = new AtomicReference<>();
    RouterClient client =
        client(
            (request, to) -> {
              token.set(ScriptedRouter.TOKEN.get());
              answer(request, to);
            },
            LONG);
    var _ = client.forward(request("a"));
    assertEquals("Bearer s3cret", token.get());
  }

  @Test
  void asksAgainWhileTheRouterIsFull() throws Exception {
    AtomicInteger calls = new AtomicInteger();
    RouterClient client =
        client(
            (request, to) -> {
              if (calls.incrementAndGet() < 3) {
                Metadata trailers = new Metadata();
                trailers.put(PUSHBACK, "1");
                to.onError(Status.RESOURCE_EXHAUSTED.asRuntimeException(trailers));
              } else {
                answer(request, to);
              }
            },
            LONG);
    assertEquals("a", client.forward(request("a")).getOutput().toStringUtf8());
    assertEquals(3, calls.get());
  }

  /** More of them than gRPC keeps by itself, each and all together. */
  @Test
  void largeRequestsAreRepeatedToo() throws Exception {
    int calls = 8;
    Queue<StreamObserver<ForwardResponse>> first = new ConcurrentLinkedQueue<>();
    AtomicInteger received = new AtomicInteger();
    RouterClient client =
        client(
            (request, to) -> {
              if (received.incrementAndGet() > calls) {
                answer(request.toBuilder().clearHiddenStates().build(), to);
                return;
              }
              first.add(to);
              if (first.size() == calls) {
                first.forEach(each -> each.onError(Status.UNAVAILABLE.asRuntimeException()));
              }
            },
            LONG);
    ForwardRequest large =
        ForwardRequest.newBuilder()
            .setHiddenStates(UnsafeByteOperations.unsafeWrap(new byte[3 << 20]))
            .build();
    List<CompletableFuture<ForwardResponse>> answers =
        Stream.generate(() -> client.forwardAsync(large)).limit(calls).toList();
    for (CompletableFuture<ForwardResponse> answer : answers) {
      var _ = answer.get(30, TimeUnit.SECONDS);
    }
    assertEquals(2 * calls, received.get());
  }

  @Test
  void aConnectionDoesNotTellItsToken() {
    String told = router.connection().withToken("s3cret").toString();
    assertFalse(told.contains("s3cret"), told);
    assertTrue(told.contains("localhost:"), told);
  }

  @Test
  void everyCallHasADeadline() throws Exception {
    RouterClient client = client((request, to) -> {}, Duration.ofMillis(200));
    StatusRuntimeException late =
        assertThrows(StatusRuntimeException.class, () -> client.forward(request("a")));
    assertEquals(Status.Code.DEADLINE_EXCEEDED, late.getStatus().getCode());
    ExecutionException lateToo =
        assertThrows(
            ExecutionException.class,
            () -> client.forwardAsync(request("a")).get(30, TimeUnit.SECONDS));
    assertEquals(Status.Code.DEADLINE_EXCEEDED, Status.fromThrowable(lateToo).getCode());
  }

  @Test
  void cancellingAnAnswerCancelsTheCall() throws Exception {
    CountDownLatch cancelled = new CountDownLatch(1);
    CountDownLatch begun = new CountDownLatch(1);
    RouterClient client =
        client(
            (request, to) -> {
              io.grpc.Context.current()
                  .addListener(context -> cancelled.countDown(), Runnable::run);
              begun.countDown();
            },
            LONG);
    CompletableFuture<ForwardResponse> answer = client.forwardAsync(request("a"));
    assertTrue(begun.await(30, TimeUnit.SECONDS));
    answer.cancel(true);
    assertTrue(cancelled.await(30, TimeUnit.SECONDS), "the router was not told");
  }

  @ParameterizedTest
  @ValueSource(ints = {0, 6})
  void refusesOddNumbersOfAttempts(int attempts) throws Exception {
    RouterClient client = client(RouterClientTest::answer, LONG);
    assertEquals("a", client.forward(request("a")).getOutput().toStringUtf8());
    IllegalArgumentException refused =
        assertThrows(
            IllegalArgumentException.class, () -> router.connection().withAttempts(attempts));
    assertEquals("attempts is %d; allowed is 1 to 5".formatted(attempts), refused.getMessage());
  }
}
