package dev.guildhall.cli.bench;

import dev.guildhall.metrics.Metrics;
import dev.guildhall.proto.ExchangeRequest;
import dev.guildhall.proto.ExchangeResponse;
import dev.guildhall.proto.ForwardRequest;
import dev.guildhall.proto.ForwardResponse;
import dev.guildhall.rpc.TensorMessage;
import dev.guildhall.rpc.TensorMethods;
import dev.guildhall.rpc.Transport;
import io.grpc.Server;
import io.grpc.ServerServiceDefinition;
import io.grpc.stub.ServerCalls;
import io.grpc.stub.StreamObserver;
import io.netty.buffer.Unpooled;
import java.io.IOException;
import java.io.OutputStream;
import java.net.InetSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;

/**
 * The other side of the bare transports that serving is measured against: a unary method that
 * answers with what it gets, an exchange stream and a TCP port that swallow it. Ends with its
 * standard input.
 */
@Command(name = "echo-server", hidden = true, mixinStandardHelpOptions = true)
final class EchoServer implements Callable<Integer> {
  private static final int MAX_MESSAGE_BYTES = 256 << 20;
  private static final int TCP_BUFFER_BYTES = 1 << 20;

  @Override
  public Integer call() throws Exception {
    try (Transport transport = new Transport(1, MAX_MESSAGE_BYTES);
        Metrics metrics = new Metrics(0);
        ServerSocketChannel tcp = ServerSocketChannel.open().bind(new InetSocketAddress(0))) {
      Server server =
          transport.server(0).addService(forward()).addService(exchange()).build().start();
      Thread.ofPlatform().daemon().name("tcp-sink").start(() -> swallow(tcp));
      System.out.println(
          "ready grpc=%d tcp=%d metrics=%d"
              .formatted(server.getPort(), tcp.socket().getLocalPort(), metrics.port()));
      System.in.transferTo(OutputStream.nullOutputStream());
    }
    return 0;
  }

  private static ServerServiceDefinition forward() {
    return ServerServiceDefinition.builder("guildhall.v1.MoeLayerService")
        .addMethod(TensorMethods.FORWARD, ServerCalls.asyncUnaryCall(EchoServer::echo))
        .build();
  }

  private static void echo(
      TensorMessage<ForwardRequest> request,
      StreamObserver<TensorMessage<ForwardResponse>> responses) {
    try (TensorMessage<ForwardResponse> response =
        new TensorMessage<>(ForwardResponse.getDefaultInstance(), request.takePayload())) {
      responses.onNext(response);
    }
    responses.onCompleted();
  }

  private static ServerServiceDefinition exchange() {
    return ServerServiceDefinition.builder("guildhall.v1.ExpertService")
        .addMethod(TensorMethods.EXCHANGE, ServerCalls.asyncBidiStreamingCall(Sink::new))
        .build();
  }

  /** Tells of each message that it came. */
  private record Sink(StreamObserver<TensorMessage<ExchangeResponse>> responses)
      implements StreamObserver<TensorMessage<ExchangeRequest>> {
    @Override
    public void onNext(TensorMessage<ExchangeRequest> request) {
      request.close();
      responses.onNext(
          new TensorMessage<>(
              ExchangeResponse.newBuilder().setBatchId(request.header().getBatchId()).build(),
              Unpooled.EMPTY_BUFFER));
    }

    @Override
    public void onError(Throwable failure) {
      // The client has gone.
    }

    @Override
    public void onCompleted() {
      responses.onCompleted();
    }
  }

  /** Reads a connection to its end and answers with one byte. */
  private static void swallow(ServerSocketChannel listening) {
    ByteBuffer buffer = ByteBuffer.allocateDirect(TCP_BUFFER_BYTES);
    while (listening.isOpen()) {
      try (SocketChannel connection = listening.accept()) {
        while (connection.read(buffer.clear()) >= 0) {
          // Only the time counts.
        }
        connection.write(ByteBuffer.allocate(1));
      } catch (IOException e) {
        return; // Closed: the process ends.
      }
    }
  }
}
