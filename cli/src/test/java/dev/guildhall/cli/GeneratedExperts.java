package dev.guildhall.cli;

import dev.guildhall.proto.DescribeRequest;
import dev.guildhall.proto.DescribeResponse;
import dev.guildhall.proto.ExchangeRequest;
import dev.guildhall.proto.ExchangeResponse;
import dev.guildhall.proto.ExpertServiceGrpc;
import io.grpc.ManagedChannel;
import io.grpc.Server;
import io.grpc.netty.NettyChannelBuilder;
import io.grpc.netty.NettyServerBuilder;
import io.grpc.stub.StreamObserver;
import java.io.IOException;
import java.util.concurrent.TimeUnit;

/**
 * An expert service that passes everything on to another one, with generated stubs and plain gRPC
 * on both of its sides: nothing of our marshaller, allocator or transport.
 */
final class GeneratedExperts extends ExpertServiceGrpc.ExpertServiceImplBase
    implements AutoCloseable {
  private final ManagedChannel channel;
  private final Server server;

  /**
   * @param target the expert service that computes
   */
  GeneratedExperts(String target) throws IOException {
    channel =
        NettyChannelBuilder.forTarget(target)
            .usePlaintext()
            .maxInboundMessageSize(ServedSystem.MAX_MESSAGE_BYTES)
            .build();
    server =
        NettyServerBuilder.forPort(0)
            .addService(this)
            .maxInboundMessageSize(ServedSystem.MAX_MESSAGE_BYTES)
            .build()
            .start();
  }

  String target() {
    return "localhost:" + server.getPort();
  }

  @Override
  public void describe(DescribeRequest request, StreamObserver<DescribeResponse> responses) {
    ExpertServiceGrpc.newStub(channel)
        .withDeadlineAfter(10, TimeUnit.SECONDS)
        .describe(request, responses);
  }

  @Override
  public StreamObserver<ExchangeRequest> exchange(StreamObserver<ExchangeResponse> responses) {
    return ExpertServiceGrpc.newStub(channel).exchange(responses);
  }

  @Override
  public void close() {
    channel.shutdownNow();
    server.shutdownNow();
  }
}
