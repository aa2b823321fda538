package dev.guildhall.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.ByteString;
import com.google.protobuf.UnsafeByteOperations;
import dev.guildhall.proto.Error;
import dev.guildhall.proto.ForwardRequest;
import dev.guildhall.proto.ForwardResponse;
import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.ClientInterceptor;
import io.grpc.ClientInterceptors;
import io.grpc.ForwardingClientCall.SimpleForwardingClientCall;
import io.grpc.ManagedChannel;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import io.grpc.stub.StreamObserver;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.FutureTask;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.BiConsumer;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class RouterStreamTest {
  private static final Duration LONG = Duration.ofSeconds(30);

  private final ScriptedRouter router;
  private final ManagedChannel channel;

  RouterStreamTest() throws IOException {
    router = new ScriptedRouter();
    channel = router.connection().open();
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

  private static ForwardRequest request(ByteString hiddenStates) {
    return ForwardRequest.newBuilder().setLayer("digits").setHiddenStates(hiddenStates).build();
  }

  private static ForwardRequest request(int number) {
    return request(ByteString.copyFromUtf8("request " + number));
  }

  private static void assertAnswered(int number, CompletableFuture<ForwardResponse> answer)
      throws Exception {
    assertEquals("request " + number, answer.get(30, TimeUnit.SECONDS).getOutput().toStringUtf8());
  }

  private static Status failure(CompletableFuture<ForwardResponse> answer) {
    return Status.fromThrowable(
        assertThrows(ExecutionException.class, () -> answer.get(30, TimeUnit.SECONDS)));
  }

  private static void error(
      ForwardRequest request, Status.Code code, StreamObserver<ForwardResponse> to) {
    to.onNext(
        ForwardResponse.newBuilder()
            .setId(request.getId())
            .setError(Error.newBuilder().setCode(code.value()).setMessage("told"))
            .build());
  }

  @Test
  void answersBelongToTheirRequestsInWhateverOrderTheyCome() throws Exception {
    List<ForwardRequest> waiting = new ArrayList<>();
    RouterClient client =
        client(
            (request, to) -> {
              waiting.add(request);
              if (waiting.size() == 3) {
                waiting.reversed().forEach(each -> to.onNext(ScriptedRouter.echo(each)));
              }
            },
            LONG);
    try (RouterStream stream = client.stream(3)) {
      List<CompletableFuture<ForwardResponse>> answers = new ArrayList<>();
      for (int i = 0; i < 3; i++) {
        answers.add(stream.send(request(i)));
      }
      for (int i = 0; i < 3; i++) {
        assertAnswered(i, answers.get(i));
      }
    }
  }

  @Test
  void aRequestThatFailsLeavesTheStreamAsItIs() throws Exception {
    RouterClient client =
        client(
            (request, to) -> {
              if (request.getHiddenStates().toStringUtf8().endsWith("0")) {
                error(request, Status.Code.INVALID_ARGUMENT, to);
              } else {
                to.onNext(ScriptedRouter.echo(request));
              }
            },
            LONG);
    try (RouterStream stream = client.stream(1)) {
      Status status = failure(stream.send(request(0)));
      assertEquals(Status.Code.INVALID_ARGUMENT, status.getCode());
      assertEquals("told", status.getDescription());
      assertAnswered(1, stream.send(request(1)));
      assertEquals(2, router.received().size());
    }
  }

  @Test
  void whatAFullRouterTurnsDownIsSentAgain() throws Exception {
    AtomicInteger calls = new AtomicInteger();
    RouterClient client =
        client(
            (request, to) -> {
              if (calls.incrementAndGet() < 3) {
                error(request, Status.Code.RESOURCE_EXHAUSTED, to);
              } else {
                to.onNext(ScriptedRouter.echo(request));
              }
            },
            LONG);
    try (RouterStream stream = client.stream(1)) {
      assertAnswered(7, stream.send(request(7)));
    }
  }

  /** As a router that shuts down ends its streams: what it has not answered was not begun. */
  @Test
  void whatAStreamLeavesUnansweredGoesOnWithTheNext() throws Exception {
    AtomicInteger calls = new AtomicInteger();
    RouterClient client =
        client(
            (request, to) -> {
              if (calls.incrementAndGet() == 2) {
                to.onCompleted();
              } else {
                to.onNext(ScriptedRouter.echo(request));
              }
            },
            LONG);
    try (RouterStream stream = client.stream(1)) {
      for (int i = 0; i < 4; i++) {
        assertAnswered(i, stream.send(request(i)));
      }
      assertEquals(5, calls.get());
    }
  }

  @Test
  void givesUpAfterAFewStreams() throws Exception {
    RouterClient client =
        client(
            (request, to) -> to.onError(Status.UNAVAILABLE.withDescription("gone").asException()),
            LONG);
    try (RouterStream stream = client.stream(1)) {
      Status status = failure(stream.send(request(0)));
      assertEquals(Status.Code.UNAVAILABLE, status.getCode());
      assertEquals(4, router.received().size());
    }
  }

  /** A message that is too large for the router ends its stream, before and after an answer. */
  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void oneRequestThatARouterDoesNotTakeFailsAlone(boolean answeredBefore) throws Exception {
    int innocent = 63;
    ForwardRequest first = request(innocent);
    CompletableFuture<Void> refusedForGood = new CompletableFuture<>();
    RouterClient client =
        client(
            (request, to) -> {
              if (request.getHiddenStates().equals(first.getHiddenStates())) {
                to.onNext(ScriptedRouter.echo(request));
              } else {
                // On a stream that the large one has ended, nobody hears it.
                var _ = refusedForGood.thenRun(() -> to.onNext(ScriptedRouter.echo(request)));
              }
            },
            LONG);
    try (RouterStream stream = client.stream(innocent + 1)) {
      if (answeredBefore) {
        assertAnswered(innocent, stream.send(first));
      }
      List<CompletableFuture<ForwardResponse>> answers = new ArrayList<>();
      for (int i = 0; i < innocent; i++) {
        answers.add(stream.send(request(i)));
      }
      Status refused =
          failure(stream.send(request(UnsafeByteOperations.unsafeWrap(new byte[5 << 20]))));
      refusedForGood.complete(null);
      for (int i = 0; i < innocent; i++) {
        assertAnswered(i, answers.get(i));
      }
      assertEquals(Status.Code.RESOURCE_EXHAUSTED, refused.getCode(), refused.toString());
    }
  }

  @Test
  void sendsAsOftenAsItIsToldTo() throws Exception {
    router.script((request, to) -> to.onError(Status.UNAVAILABLE.asException()));
    try (RouterStream stream = new RouterClient(channel, LONG, 1).stream(1)) {
      assertEquals(Status.Code.UNAVAILABLE, failure(stream.send(request(0))).getCode());
      assertEquals(1, router.received().size());
    }
    router.script((request, to) -> error(request, Status.Code.RESOURCE_EXHAUSTED, to));
    try (RouterStream stream = new RouterClient(channel, LONG, 2).stream(1)) {
      assertEquals(Status.Code.RESOURCE_EXHAUSTED, failure(stream.send(request(0))).getCode());
      assertEquals(1 + 2, router.received().size());
    }
    assertThrows(IllegalArgumentException.class, () -> new RouterClient(channel, LONG, 6));
  }

  /**
   * The router wants each to wait for longer than it may take; meanwhile the next ones are sent.
   */
  @Test
  void whatIsLateIsNotSentAgain() throws Exception {
    Semaphore arrived = new Semaphore(0);
    RouterClient client =
        client(
            (request, to) -> {
              to.onNext(
                  ForwardResponse.newBuilder()
                      .setId(request.getId())
                      .setError(
                          Error.newBuilder()
                              .setCode(Status.Code.RESOURCE_EXHAUSTED.value())
                              .setRetryAfterMs(300))
                      .build());
              arrived.release();
            },
            Duration.ofMillis(200));
    try (RouterStream stream = client.stream(1)) {
      for (int i = 0; i < 5; i++) {
        assertEquals(Status.Code.DEADLINE_EXCEEDED, failure(stream.send(request(i))).getCode());
        assertTrue(arrived.tryAcquire(30, TimeUnit.SECONDS));
      }
      assertEquals(5, router.received().size());
    }
  }

  @Test
  void whatIsCancelledMakesRoomAndIsNotSentAgain() throws Exception {
    CompletableFuture<Runnable> refusal = new CompletableFuture<>();
    RouterClient client =
        client(
            (request, to) -> {
              if (request.getHiddenStates().toStringUtf8().endsWith("0")) {
                refusal.complete(() -> error(request, Status.Code.UNAVAILABLE, to));
              } else {
                to.onNext(ScriptedRouter.echo(request));
              }
            },
            LONG);
    try (RouterStream stream = client.stream(1)) {
      CompletableFuture<ForwardResponse> answer = stream.send(request(0));
      Runnable refuse = refusal.get(30, TimeUnit.SECONDS);
      assertTrue(answer.cancel(true));
      refuse.run();
      // There is room for one: it would wait for its turn until it is late.
      assertAnswered(1, stream.send(request(1)));
      assertEquals(2, router.received().size());
    }
  }

  /** The router has ended the stream, and the client is about to follow. */
  @Test
  void sendingWhileAStreamEndsFindsTheNextOne() throws Exception {
    router.script((request, to) -> {
      to.onNext(ScriptedRouter.echo(request));
      if (request.getHiddenStates().toStringUtf8().endsWith("0")) {
        to.onCompleted();
      }
    });
    AtomicReference<RouterStream> sendsMore = new AtomicReference<>();
    FutureTask<CompletableFuture<ForwardResponse>> second =
        new FutureTask<>(() -> sendsMore.get().send(request(1)));
    Channel watched = ClientInterceptors.intercept(channel, new HalfCloseWatch(second));
    try (RouterStream stream = new RouterClient(watched, LONG).stream(2)) {
      sendsMore.set(stream);
      assertAnswered(0, stream.send(request(0)));
      assertAnswered(1, second.get(30, TimeUnit.SECONDS));
    }
  }

  /** Runs something when a client has ended its side of a call. */
  private record HalfCloseWatch(Runnable then) implements ClientInterceptor {
    @Override
    public <Q, A> ClientCall<Q, A> interceptCall(
        MethodDescriptor<Q, A> method, CallOptions options, Channel next) {
      return new SimpleForwardingClientCall<>(next.newCall(method, options)) {
        @Override
        public void halfClose() {
          super.halfClose();
          then.run();
        }
      };
    }
  }

  @Test
  void whatIsWrongIsNotRepeated() throws Exception {
    RouterClient client =
        client((request, to) -> to.onError(Status.UNAUTHENTICATED.asException()), LONG);
    try (RouterStream stream = client.stream(1)) {
      assertEquals(Status.Code.UNAUTHENTICATED, failure(stream.send(request(0))).getCode());
      assertEquals(1, router.received().size());
    }
  }

  @Test
  void everyWaitHasABound() throws Exception {
    RouterClient client = client((request, to) -> {}, Duration.ofMillis(300));
    try (RouterStream stream = client.stream(1)) {
      CompletableFuture<ForwardResponse> first = stream.send(request(0));
      assertEquals(Status.Code.DEADLINE_EXCEEDED, failure(first).getCode());
      // It has made room.
      assertEquals(Status.Code.DEADLINE_EXCEEDED, failure(stream.send(request(1))).getCode());
      assertTrue(
          router.received().stream().allMatch(each -> each.getTimeoutMs() <= 300), "timeout_ms");
    }
  }

  @Test
  void waitsForRoomWithABound() throws Exception {
    RouterClient client = client((request, to) -> {}, Duration.ofMillis(300));
    try (RouterStream stream = client.stream(1)) {
      CompletableFuture<ForwardResponse> first = stream.send(request(0));
      CompletableFuture<ForwardResponse> second = stream.send(request(1));
      assertTrue(first.isDone(), "there was room for two");
      assertEquals(Status.Code.DEADLINE_EXCEEDED, failure(second).getCode());
    }
  }

  @Test
  void closingFailsWhatIsInFlight() throws Exception {
    RouterClient client = client((request, to) -> {}, LONG);
    RouterStream stream = client.stream(2);
    CompletableFuture<ForwardResponse> answer = stream.send(request(0));
    stream.close();
    assertEquals(Status.Code.CANCELLED, failure(answer).getCode());
    assertEquals(Status.Code.UNAVAILABLE, failure(stream.send(request(1))).getCode());
    assertThrows(
        IllegalArgumentException.class, () -> client.stream(0), "a stream without any room");
  }
}
