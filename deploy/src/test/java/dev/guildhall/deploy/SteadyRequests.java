package dev.guildhall.deploy;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.ByteString;
import dev.guildhall.proto.Dtype;
import dev.guildhall.proto.ForwardRequest;
import dev.guildhall.proto.ForwardResponse;
import dev.guildhall.proto.MoeLayerServiceGrpc;
import io.grpc.ManagedChannel;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;

/** Two clients that send 16 tokens of the example layer again and again while something happens. */
final class SteadyRequests {
  private static final int CLIENTS = 2;
  private static final int TOKENS = 16;
  private static final int HIDDEN_SIZE = 128;
  private static final double TOLERANCE = 1e-5;

  /** Clients share the processors with everything else. */
  private static final long PAUSE_MILLIS = 20;

  private static final long REFUSED_MILLIS = 200;

  private final ManagedChannel channel;
  private final Duration deadline;
  private final ForwardRequest request = request();
  private final ForwardResponse right;
  private final AtomicLong answered = new AtomicLong();
  private final AtomicLong refused = new AtomicLong();
  private final AtomicLong slowestNanos = new AtomicLong();
  private final ConcurrentLinkedQueue<String> failures = new ConcurrentLinkedQueue<>();
  private final List<Thread> clients = new ArrayList<>();
  private volatile boolean ended;

  private SteadyRequests(ManagedChannel channel, Duration deadline) {
    this.channel = channel;
    this.deadline = deadline;
    // Whatever has been asked of the processes before: they may be cold.
    this.right = forward(Duration.ofMinutes(1));
  }

  /** Something that must not be noticed. */
  interface Event {
    void happens() throws Exception;
  }

  /**
   * What came back.
   *
   * @param refused how often a request was asked again since it was refused for overload
   */
  record Answers(long count, long refused, Duration slowest) {}

  /**
   * Sends requests before, while and after something happens; every one must be answered right.
   *
   * @param deadline of a request, with what it takes to ask again
   */
  static Answers during(ManagedChannel channel, Duration deadline, Event event) throws Exception {
    SteadyRequests requests = new SteadyRequests(channel, deadline);
    for (int client = 0; client < CLIENTS; client++) {
      requests.clients.add(Thread.ofPlatform().start(requests::send));
    }
    try {
      requests.awaitMore();
      event.happens();
      requests.awaitMore();
    } finally {
      requests.ended = true;
      for (Thread client : requests.clients) {
        client.join();
      }
    }
    assertEquals(List.of(), List.copyOf(requests.failures));
    return new Answers(
        requests.answered.get(),
        requests.refused.get(),
        Duration.ofNanos(requests.slowestNanos.get()));
  }

  private void awaitMore() throws Exception {
    long before = answered.get();
    ComposedStack.await("20 answers", () -> answered.get() >= before + 20 || !failures.isEmpty());
  }

  private void send() {
    while (!ended) {
      try {
        long sent = System.nanoTime();
        check(admitted());
        slowestNanos.accumulateAndGet(System.nanoTime() - sent, Math::max);
        answered.incrementAndGet();
        Thread.sleep(PAUSE_MILLIS);
      } catch (RuntimeException | AssertionError e) {
        failures.add(e.toString());
      } catch (InterruptedException e) {
        return;
      }
    }
  }

  /**
   * Asks again where it is told to "try again later": a machine that is busy with other things lets
   * rows wait, and routers then refuse.
   */
  private ForwardResponse admitted() throws InterruptedException {
    long end = System.nanoTime() + deadline.toNanos();
    while (true) {
      try {
        return forward(Duration.ofNanos(end - System.nanoTime()));
      } catch (StatusRuntimeException e) {
        if (e.getStatus().getCode() != Status.Code.RESOURCE_EXHAUSTED) {
          throw e;
        }
        refused.incrementAndGet();
        Thread.sleep(REFUSED_MILLIS);
      }
    }
  }

  private ForwardResponse forward(Duration timeout) {
    return MoeLayerServiceGrpc.newBlockingStub(channel)
        .withDeadlineAfter(timeout.toNanos(), TimeUnit.NANOSECONDS)
        .forward(request);
  }

  private void check(ForwardResponse answer) {
    assertEquals(right.getExpCountsList(), answer.getExpCountsList());
    ByteBuffer expected = floats(right);
    ByteBuffer actual = floats(answer);
    assertEquals(expected.remaining(), actual.remaining());
    while (expected.hasRemaining()) {
      float difference = Math.abs(expected.getFloat() - actual.getFloat());
      assertTrue(difference <= TOLERANCE, "a value is off by " + difference);
    }
  }

  private static ByteBuffer floats(ForwardResponse response) {
    return response.getOutput().asReadOnlyByteBuffer().order(ByteOrder.LITTLE_ENDIAN);
  }

  private static ForwardRequest request() {
    ByteBuffer bytes =
        ByteBuffer.allocate(TOKENS * HIDDEN_SIZE * Float.BYTES).order(ByteOrder.LITTLE_ENDIAN);
    SplittableRandom random = new SplittableRandom(1);
    while (bytes.hasRemaining()) {
      bytes.putFloat((float) random.nextDouble(-1, 1));
    }
    return ForwardRequest.newBuilder()
        .setLayer("digits")
        .setDtype(Dtype.DTYPE_FP32)
        .addShape(TOKENS)
        .addShape(HIDDEN_SIZE)
        .setHiddenStates(ByteString.copyFrom(bytes.flip()))
        .build();
  }
}
