package dev.guildhall.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.guildhall.proto.Dtype;
import dev.guildhall.proto.ForwardRequest;
import dev.guildhall.proto.ForwardResponse;
import dev.guildhall.proto.ListLayersRequest;
import dev.guildhall.proto.MoeLayerServiceGrpc;
import dev.guildhall.repository.LayerRepository;
import dev.guildhall.router.RouterServer;
import dev.guildhall.rpc.Buffers;
import dev.guildhall.rpc.TensorMessage;
import dev.guildhall.rpc.TensorMethods;
import dev.guildhall.rpc.Transport;
import io.grpc.CallOptions;
import io.grpc.ClientCall;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import io.grpc.stub.ClientCalls;
import io.grpc.stub.StreamObserver;
import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import io.netty.buffer.ByteBuf;
import java.io.ByteArrayInputStream;
import java.io.InputStream;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.SplittableRandom;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Ten thousand requests, good, bad and late, under netty's paranoid leak detection. */
class BufferLeakTest {
  private static final String LAYER = "layer";
  private static final int HIDDEN = 64;
  private static final int REQUESTS = 10_000;
  private static final int IN_FLIGHT = 32;
  private static final int BROKEN_STREAMS = 50;

  @TempDir private Path folder;

  @Test
  void leaksNothing() throws Exception {
    try (LeakWatch _ = new LeakWatch()) {
      serve();
    }
  }

  private void serve() throws Exception {
    LayerFiles.mlp(folder, LAYER, "{\"hidden_size\": 64, \"num_experts\": 4, \"k\": 2}");
    LayerRepository repository = LayerRepository.open(folder);
    SimpleMeterRegistry registry = new SimpleMeterRegistry();
    int failures;
    try (Transport transport = new Transport(1, ServedSystem.MAX_MESSAGE_BYTES);
        ExpertFleet experts =
            ExpertFleet.start(repository, ExpertFleet.ranks(2), transport, registry);
        RouterServer router =
            RouterServer.start(
                ServedSystem.options(experts.targets()),
                repository,
                transport,
                transport::channel,
                registry)) {
      router.ready().get(30, TimeUnit.SECONDS);
      ManagedChannel channel = transport.channel("localhost:" + router.port());
      try {
        failures = new Client(channel).run();
        for (int stream = 0; stream < BROKEN_STREAMS; stream++) {
          BrokenStream.run(channel);
        }
      } finally {
        channel.shutdownNow();
      }
    }
    assertFalse(failures == 0 || failures > REQUESTS / 2, "failures: " + failures);
  }

  @Test
  void aLeakWouldBeSeen() {
    LeakWatch watch = new LeakWatch();
    leak();
    assertEquals(1, watch.leaks().size());
    assertThrows(AssertionError.class, watch::close);
  }

  @SuppressWarnings("ResultOfMethodCallIgnored")
  private static void leak() {
    Buffers.allocate(64);
  }

  private static void connect(ManagedChannel channel) {
    MoeLayerServiceGrpc.newBlockingStub(channel)
        .withDeadlineAfter(30, TimeUnit.SECONDS)
        .listLayers(ListLayersRequest.getDefaultInstance());
  }

  /** A large request, and behind it a message that is none: gRPC ends the stream under it. */
  private static final class BrokenStream extends ClientCall.Listener<byte[]> {
    private static final MethodDescriptor.Marshaller<byte[]> BYTES =
        new MethodDescriptor.Marshaller<>() {
          @Override
          public InputStream stream(byte[] message) {
            return new ByteArrayInputStream(message);
          }

          @Override
          public byte[] parse(InputStream message) {
            return new byte[0];
          }
        };

    private final CompletableFuture<Status> closed = new CompletableFuture<>();

    static void run(ManagedChannel channel) throws Exception {
      BrokenStream stream = new BrokenStream();
      ClientCall<byte[], byte[]> call =
          channel.newCall(
              MoeLayerServiceGrpc.getForwardStreamMethod().toBuilder(BYTES, BYTES).build(),
              CallOptions.DEFAULT);
      call.start(stream, new Metadata());
      call.request(Integer.MAX_VALUE);
      call.sendMessage(Requests.random(LAYER, 1000, HIDDEN, 1).build().toByteArray());
      call.sendMessage(new byte[] {(byte) 0xff});
      assertFalse(stream.closed.get(30, TimeUnit.SECONDS).isOk());
    }

    @Override
    public void onClose(Status status, Metadata trailers) {
      closed.complete(status);
    }
  }

  /** One stream with a number of requests in flight, some of which the router refuses. */
  private static final class Client implements StreamObserver<TensorMessage<ForwardResponse>> {
    private final Semaphore free = new Semaphore(IN_FLIGHT);
    private final AtomicInteger failures = new AtomicInteger();
    private final ManagedChannel channel;

    Client(ManagedChannel channel) {
      this.channel = channel;
    }

    int run() throws InterruptedException {
      // The channel is connected: only then does a stream borrow what it is given.
      connect(channel);
      StreamObserver<TensorMessage<ForwardRequest>> requests =
          ClientCalls.asyncBidiStreamingCall(
              channel.newCall(TensorMethods.FORWARD_STREAM, CallOptions.DEFAULT), this);
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
              .setDtype(Dtype.DTYPE_FP32)
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
