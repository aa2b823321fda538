package dev.guildhall.router.exchange;

import dev.guildhall.proto.ExchangeRequest;
import dev.guildhall.proto.ExchangeResponse;
import dev.guildhall.proto.ExpertServiceGrpc;
import dev.guildhall.rpc.Transport;
import io.grpc.Server;
import io.grpc.Status;
import io.grpc.stub.StreamObserver;
import java.io.IOException;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

/** An expert service of generated stubs that a test plays by hand. One stream. */
final class FakeReplica extends ExpertServiceGrpc.ExpertServiceImplBase implements AutoCloseable {
  private final BlockingQueue<ExchangeRequest> requests = new LinkedBlockingQueue<>();
  private final BlockingQueue<StreamObserver<ExchangeResponse>> streams =
      new LinkedBlockingQueue<>();
  private final Server server;

  FakeReplica(Transport transport) throws IOException {
    server = transport.server(0).addService(this).build().start();
  }

  String target() {
    return "localhost:" + server.getPort();
  }

  @Override
  public StreamObserver<ExchangeRequest> exchange(StreamObserver<ExchangeResponse> responses) {
    streams.add(responses);
    return new StreamObserver<>() {
      @Override
      public void onNext(ExchangeRequest request) {
        requests.add(request);
      }

      @Override
      public void onError(Throwable failure) {
        // The router ended the stream.
      }

      @Override
      public void onCompleted() {
        responses.onCompleted();
      }
    };
  }

  /** The next message from the router. */
  ExchangeRequest next() throws InterruptedException {
    return taken(requests);
  }

  void answer(ExchangeResponse response) throws InterruptedException {
    StreamObserver<ExchangeResponse> stream = taken(streams);
    stream.onNext(response);
    streams.add(stream);
  }

  /** Ends the stream with this status, or well if it is OK. */
  void end(Status status) throws InterruptedException {
    StreamObserver<ExchangeResponse> stream = taken(streams);
    if (status.isOk()) {
      stream.onCompleted();
    } else {
      stream.onError(status.asRuntimeException());
    }
  }

  private static <T> T taken(BlockingQueue<T> queue) throws InterruptedException {
    T value = queue.poll(30, TimeUnit.SECONDS);
    if (value == null) {
      throw new AssertionError("nothing came within 30 s");
    }
    return value;
  }

  @Override
  public void close() {
    server.shutdownNow();
  }
}
