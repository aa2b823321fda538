package dev.guildhall.rpc;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.ByteString;
import dev.guildhall.proto.Dtype;
import dev.guildhall.proto.ForwardRequest;
import dev.guildhall.proto.ForwardResponse;
import dev.guildhall.proto.MoeLayerServiceGrpc;
import io.grpc.BindableService;
import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ManagedChannel;
import io.grpc.ServerServiceDefinition;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.netty.NettyServerBuilder;
import io.grpc.stub.ClientCalls;
import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.ServerCalls;
import io.grpc.stub.StreamObserver;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.ByteBufUtil;
import io.netty.buffer.UnpooledByteBufAllocator;
import io.netty.buffer.UnpooledDirectByteBuf;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.SplittableRandom;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Our marshaller and generated stubs at either end of a real socket: neither notices the other. */
class WireCompatibilityTest {
  private static final int MAX_MESSAGE_BYTES = 6 << 20;

  private final Transport transport = new Transport(1, MAX_MESSAGE_BYTES);

  @TempDir Path folder;

  @AfterEach
  void close() {
    transport.close();
  }

  @ParameterizedTest
  @CsvSource({
    "0, identity",
    "4096, identity",
    "1048576, identity",
    "5242880, identity",
    "0, gzip",
    "4096, gzip",
    "1048576, gzip"
  })
  void servesGeneratedStubs(int payloadBytes, String compression) throws IOException {
    byte[] payload = randomBytes(payloadBytes);
    echoing(
        transport.server(0),
        new TensorEcho(compression),
        channel -> {
          ForwardResponse response =
              MoeLayerServiceGrpc.newBlockingStub(channel)
                  .withCompression(compression)
                  .withDeadlineAfter(10, TimeUnit.SECONDS)
                  .forward(request(payload));
          assertEquals(7, response.getId());
          assertEquals(List.of(1L, 2L), response.getShapeList());
          assertArrayEquals(payload, response.getOutput().toByteArray());
        });
  }

  @ParameterizedTest
  @CsvSource({
    "0, identity",
    "4096, identity",
    "1048576, identity",
    "5242880, identity",
    "0, gzip",
    "4096, gzip",
    "1048576, gzip"
  })
  void callsGeneratedServices(int payloadBytes, String compression) throws IOException {
    byte[] payload = randomBytes(payloadBytes);
    echoing(
        transport.server(0),
        new GeneratedEcho(compression),
        channel -> assertArrayEquals(payload, callWithTensors(channel, payload, compression)));
  }

  @ParameterizedTest
  @CsvSource({"0", "4096", "1048576", "5242880"})
  void speaksToItselfOverADomainSocket(int payloadBytes) throws IOException {
    byte[] payload = randomBytes(payloadBytes);
    Path socket = folder.resolve("echo.sock");
    try (RpcServer server = start(transport.server(socket), new TensorEcho("identity"))) {
      assertEquals(-1, server.port());
      withChannel(
          "unix://" + socket,
          channel -> assertArrayEquals(payload, callWithTensors(channel, payload, "identity")));
    }
  }

  @Test
  void refusesAMessageBeyondTheLimitAndServesTheNextOne() throws IOException {
    echoing(
        transport.server(0),
        new TensorEcho("identity"),
        channel -> {
          byte[] tooMuch = randomBytes(MAX_MESSAGE_BYTES + 1);
          StatusRuntimeException refusal =
              assertThrows(
                  StatusRuntimeException.class,
                  () -> callWithTensors(channel, tooMuch, "identity"));
          assertEquals(Status.Code.RESOURCE_EXHAUSTED, refusal.getStatus().getCode());
          byte[] payload = randomBytes(4096);
          assertArrayEquals(payload, callWithTensors(channel, payload, "identity"));
        });
  }

  @ParameterizedTest
  @CsvSource({"65536, identity, 0", "5242880, identity, 0", "4096, identity, 1", "65536, gzip, 1"})
  void lendsLargePayloadsInsteadOfCopyingThem(int bytes, String compression, int leastCopies)
      throws IOException {
    byte[] content = randomBytes(bytes);
    echoing(
        transport.server(0),
        new TensorEcho("identity"),
        channel -> {
          // A call that waits for its channel is framed as any other, but by another thread.
          callWithTensors(channel, new byte[1], "identity");
          WatchedBuffer payload = new WatchedBuffer(content);
          assertArrayEquals(content, callWithTensors(channel, payload, compression));
          if (leastCopies == 0) {
            assertEquals(0, payload.copies.get());
          } else {
            assertTrue(payload.copies.get() >= leastCopies);
          }
        });
  }

  /** Counts copies of its content into arrays. */
  private static final class WatchedBuffer extends UnpooledDirectByteBuf {
    private final AtomicInteger copies = new AtomicInteger();

    WatchedBuffer(byte[] content) {
      super(UnpooledByteBufAllocator.DEFAULT, content.length, content.length);
      writeBytes(content);
    }

    @Override
    public ByteBuf getBytes(int index, byte[] target, int targetIndex, int length) {
      copies.incrementAndGet();
      return super.getBytes(index, target, targetIndex, length);
    }
  }

  private static ForwardRequest request(byte[] payload) {
    return ForwardRequest.newBuilder()
        .setId(7)
        .setLayer("digits")
        .setDtype(Dtype.DTYPE_FP32)
        .addShape(1)
        .addShape(2)
        .setHiddenStates(ByteString.copyFrom(payload))
        .build();
  }

  /** Sends the payload with our marshaller and gives what came back. */
  private static byte[] callWithTensors(Channel channel, byte[] payload, String compression) {
    ByteBuf buffer = Buffers.allocate(payload.length);
    buffer.setBytes(0, payload);
    return callWithTensors(channel, buffer, compression);
  }

  private static byte[] callWithTensors(Channel channel, ByteBuf buffer, String compression) {
    try (TensorMessage<ForwardRequest> request = new TensorMessage<>(request(new byte[0]), buffer);
        TensorMessage<ForwardResponse> response =
            ClientCalls.blockingUnaryCall(
                channel,
                TensorMethods.FORWARD,
                CallOptions.DEFAULT
                    .withCompression(compression)
                    .withDeadlineAfter(10, TimeUnit.SECONDS),
                request)) {
      assertEquals(7, response.header().getId());
      return ByteBufUtil.getBytes(response.payload());
    }
  }

  private void echoing(NettyServerBuilder builder, BindableService echo, Check check)
      throws IOException {
    try (RpcServer server = start(builder, echo)) {
      withChannel("localhost:" + server.port(), check);
    }
  }

  private void withChannel(String target, Check check) {
    ManagedChannel channel = transport.channel(target);
    try {
      check.with(channel);
    } finally {
      channel.shutdownNow();
    }
  }

  private static RpcServer start(NettyServerBuilder builder, BindableService echo)
      throws IOException {
    return RpcServer.start(builder, List.of(echo), Duration.ofSeconds(5));
  }

  private static byte[] randomBytes(int length) {
    byte[] bytes = new byte[length];
    new SplittableRandom(length).nextBytes(bytes);
    return bytes;
  }

  /** What to do with a channel to an echo service. */
  private interface Check {
    void with(Channel channel);
  }

  /** Answers with the payload that it got, through our marshaller. */
  private record TensorEcho(String compression) implements BindableService {
    @Override
    public ServerServiceDefinition bindService() {
      return ServerServiceDefinition.builder(MoeLayerServiceGrpc.SERVICE_NAME)
          .addMethod(TensorMethods.FORWARD, ServerCalls.asyncUnaryCall(this::forward))
          .build();
    }

    private void forward(
        TensorMessage<ForwardRequest> request,
        StreamObserver<TensorMessage<ForwardResponse>> responses) {
      ((ServerCallStreamObserver<?>) responses).setCompression(compression);
      ForwardResponse header =
          ForwardResponse.newBuilder()
              .setId(request.header().getId())
              .addAllShape(request.header().getShapeList())
              .build();
      try (TensorMessage<ForwardResponse> response =
          new TensorMessage<>(header, request.takePayload())) {
        responses.onNext(response);
      }
      responses.onCompleted();
    }
  }

  /** The same through generated code. */
  private static final class GeneratedEcho extends MoeLayerServiceGrpc.MoeLayerServiceImplBase {
    private final String compression;

    GeneratedEcho(String compression) {
      this.compression = compression;
    }

    @Override
    public void forward(ForwardRequest request, StreamObserver<ForwardResponse> responses) {
      ((ServerCallStreamObserver<ForwardResponse>) responses).setCompression(compression);
      responses.onNext(
          ForwardResponse.newBuilder()
              .setId(request.getId())
              .addAllShape(request.getShapeList())
              .setOutput(request.getHiddenStates())
              .build());
      responses.onCompleted();
    }
  }
}
