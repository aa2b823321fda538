package dev.guildhall.cli.chaos;

import com.google.common.io.ByteStreams;
import dev.guildhall.cli.Digits;
import dev.guildhall.proto.DescribeRequest;
import dev.guildhall.proto.DescribeResponse;
import dev.guildhall.proto.ExchangeRequest;
import dev.guildhall.proto.ExchangeResponse;
import dev.guildhall.proto.ExpertServiceGrpc;
import dev.guildhall.proto.HostedLayer;
import io.grpc.MethodDescriptor;
import io.grpc.Server;
import io.grpc.ServerServiceDefinition;
import io.grpc.ServiceDescriptor;
import io.grpc.netty.NettyServerBuilder;
import io.grpc.stub.ServerCalls;
import io.grpc.stub.StreamObserver;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.stream.IntStream;

/**
 * A server that says it hosts every expert of the repository and answers each batch with garbage.
 */
final class GarbageExperts implements AutoCloseable {
  private static final int MAX_MESSAGE_BYTES = 64 << 20;

  /** From the wire form of the right shape of an answer to what is sent instead. */
  interface Garbage {
    byte[] of(ExchangeRequest request);
  }

  private final Garbage garbage;
  private final AtomicLong batches = new AtomicLong();
  private final Server server;

  GarbageExperts(int port, Garbage garbage) throws IOException {
    this.garbage = garbage;
    this.server =
        NettyServerBuilder.forPort(port)
            .maxInboundMessageSize(MAX_MESSAGE_BYTES)
            .permitKeepAliveTime(5, TimeUnit.SECONDS)
            .permitKeepAliveWithoutCalls(true)
            .addService(service())
            .build()
            .start();
  }

  /** How many batches it has spoilt. */
  long batches() {
    return batches.get();
  }

  private ServerServiceDefinition service() {
    MethodDescriptor<ExchangeRequest, byte[]> exchange =
        ExpertServiceGrpc.getExchangeMethod().toBuilder(
                ExpertServiceGrpc.getExchangeMethod().getRequestMarshaller(), new Bytes())
            .build();
    return ServerServiceDefinition.builder(
            ServiceDescriptor.newBuilder(ExpertServiceGrpc.SERVICE_NAME)
                .addMethod(ExpertServiceGrpc.getDescribeMethod())
                .addMethod(exchange)
                .build())
        .addMethod(
            ExpertServiceGrpc.getDescribeMethod(),
            ServerCalls.<DescribeRequest, DescribeResponse>asyncUnaryCall((request, responses) -> {
              responses.onNext(description());
              responses.onCompleted();
            }))
        .addMethod(exchange, ServerCalls.asyncBidiStreamingCall(Spoiler::new))
        .build();
  }

  private static DescribeResponse description() {
    return DescribeResponse.newBuilder()
        .setDevice("cpu")
        // The example layer has a residual MLP, which counts as one expert more.
        .addLayers(hosted(Digits.LAYER, Digits.HIDDEN_SIZE, 8, 9))
        .addLayers(
            hosted(
                ChaosRepository.WIDE,
                ChaosRepository.WIDE_HIDDEN_SIZE,
                ChaosRepository.WIDE_EXPERTS,
                ChaosRepository.WIDE_EXPERTS))
        .build();
  }

  private static HostedLayer hosted(String name, int hiddenSize, int experts, int hosted) {
    return HostedLayer.newBuilder()
        .setName(name)
        .setHiddenSize(hiddenSize)
        .setNumExperts(experts)
        .addAllExperts(IntStream.range(0, hosted).boxed().toList())
        .build();
  }

  private final class Spoiler implements StreamObserver<ExchangeRequest> {
    private final StreamObserver<byte[]> responses;

    Spoiler(StreamObserver<byte[]> responses) {
      this.responses = responses;
    }

    @Override
    public void onNext(ExchangeRequest request) {
      if (!request.getCancel()) {
        batches.incrementAndGet();
        responses.onNext(garbage.of(request));
      }
    }

    @Override
    public void onError(Throwable failure) {
      // The router went away.
    }

    @Override
    public void onCompleted() {
      responses.onCompleted();
    }
  }

  /** What a good answer looks like, with the rows as they came. */
  static ExchangeResponse.Builder echo(ExchangeRequest request) {
    return ExchangeResponse.newBuilder()
        .setBatchId(request.getBatchId())
        .setDtype(request.getDtype())
        .setRows(request.getRows());
  }

  private static final class Bytes implements MethodDescriptor.Marshaller<byte[]> {
    @Override
    public InputStream stream(byte[] value) {
      return new ByteArrayInputStream(value);
    }

    @Override
    public byte[] parse(InputStream stream) {
      try {
        return ByteStreams.toByteArray(stream);
      } catch (IOException e) {
        throw new UncheckedIOException(e);
      }
    }
  }

  @Override
  public void close() {
    server.shutdownNow();
  }
}
