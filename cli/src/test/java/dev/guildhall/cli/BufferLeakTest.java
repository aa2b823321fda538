package dev.guildhall.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;

import ch.qos.logback.classic.Logger;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.core.read.ListAppender;
import dev.guildhall.proto.DType;
import dev.guildhall.proto.ForwardRequest;
import dev.guildhall.proto.ForwardResponse;
import dev.guildhall.proto.ListLayersRequest;
import dev.guildhall.repository.LayerRepository;
import dev.guildhall.rpc.Buffers;
import dev.guildhall.rpc.TensorMessage;
import dev.guildhall.rpc.TensorMethods;
import io.grpc.CallOptions;
import io.grpc.stub.ClientCalls;
import io.grpc.stub.StreamObserver;
import io.netty.buffer.ByteBuf;
import io.netty.util.ResourceLeakDetector;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.List;
import java.util.SplittableRandom;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.slf4j.LoggerFactory;

/** Ten thousand requests, good, bad and late, under netty's paranoid leak detection. */
class BufferLeakTest {
  private static final String LAYER = "layer";
  private static final int HIDDEN = 64;
  private static final int REQUESTS = 10_000;
  private static final int IN_FLIGHT = 32;

  @TempDir private Path folder;

  private final ListAppender<ILoggingEvent> leaks = new ListAppender<>();
  private final Logger detector = (Logger) LoggerFactory.getLogger(ResourceLeakDetector.class);

  @BeforeEach
  void listen() {
    assertEquals(ResourceLeakDetector.Level.PARANOID, ResourceLeakDetector.getLevel());
    leaks.start();
    detector.addAppender(leaks);
  }

  @AfterEach
  void stopListening() {
    detector.detachAppender(leaks);
  }

  @Test
  void leaksNothing() throws Exception {
    LayerFiles.mlp(folder, LAYER, "{\"hidden_size\": 64, \"num_experts\": 4, \"k\": 2}");
    int failures;
    try (ServedSystem system = ServedSystem.start(LayerRepository.open(folder))) {
      failures = new Client(system).run();
    }
    report();
    assertEquals(List.of(), leaks.list.stream().map(ILoggingEvent::getFormattedMessage).toList());
    assertFalse(failures == 0 || failures > REQUESTS / 2, "failures: " + failures);
  }

  @Test
  void aLeakWouldBeSeen() {
    leak();
    report();
    assertEquals(1, leaks.list.size());
  }

  @SuppressWarnings("ResultOfMethodCallIgnored")
  private static void leak() {
    Buffers.allocate(64);
  }

  /** The detector speaks of a buffer when it is collected and another one is asked for. */
  private void report() {
    for (int i = 0; i < 20; i++) {
      System.gc();
      Buffers.allocate(64).release();
    }
  }

  /** One stream with a number of requests in flight, some of which the router refuses. */
  private static final class Client implements StreamObserver<TensorMessage<ForwardResponse>> {
    private final Semaphore free = new Semaphore(IN_FLIGHT);
    private final AtomicInteger failures = new AtomicInteger();
    private final ServedSystem system;

    Client(ServedSystem system) {
      this.system = system;
    }

    int run() throws InterruptedException {
      // The channel is connected: only then does a stream borrow what it is given.
      system.client().listLayers(ListLayersRequest.getDefaultInstance());
      StreamObserver<TensorMessage<ForwardRequest>> requests =
          ClientCalls.asyncBidiStreamingCall(
              system.channel().newCall(TensorMethods.FORWARD_STREAM, CallOptions.DEFAULT), this);
      SplittableRandom random = new SplittableRandom(1);
      for (int id = 0; id < REQUESTS; id++) {
        acquire(1);
        try (TensorMessage<ForwardRequest> request = request(id, random)) {
          requests.onNext(request);
        }
      }
      acquire(IN_FLIGHT);
      requests.onCompleted();
      return failures.get();
    }

    private void acquire(int permits) throws InterruptedException {
      if (!free.tryAcquire(permits, 30, TimeUnit.SECONDS)) {
        throw new AssertionError("an answer is missing");
      }
    }

    /** From a row to a message of several frames; a tenth of them wrong, a tenth in a hurry. */
    private static TensorMessage<ForwardRequest> request(int id, SplittableRandom random) {
      int tokens = random.nextInt(20) == 0 ? random.nextInt(1, 1000) : random.nextInt(0, 20);
      float[] hiddenStates = Tensors.random(id, tokens * HIDDEN);
      if (tokens > 0 && random.nextInt(10) == 0) {
        hiddenStates[0] = Float.NaN;
      }
      ByteBuf payload = Buffers.allocate(hiddenStates.length * Float.BYTES);
      Buffers.segment(payload).copyFrom(MemorySegment.ofArray(hiddenStates));
      ForwardRequest header =
          ForwardRequest.newBuilder()
              .setId(id)
              .setLayer(random.nextInt(50) == 0 ? "none" : LAYER)
              .setDtype(DType.DTYPE_FP32)
              .addShape(tokens)
              .addShape(HIDDEN)
              .setTimeoutMs(random.nextInt(10) == 0 ? 1 : 30_000)
              .build();
      return new TensorMessage<>(header, payload);
    }

    @Override
    public void onNext(TensorMessage<ForwardResponse> response) {
      if (response.header().hasError()) {
        failures.incrementAndGet();
      }
      response.close();
      free.release();
    }

    @Override
    public void onError(Throwable failure) {
      throw new AssertionError(failure);
    }

    @Override
    public void onCompleted() {}
  }
}
