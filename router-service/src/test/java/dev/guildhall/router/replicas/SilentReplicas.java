package dev.guildhall.router.replicas;

import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.guildhall.error.GuildhallException;
import dev.guildhall.proto.DescribeRequest;
import dev.guildhall.proto.DescribeResponse;
import dev.guildhall.proto.ExchangeRequest;
import dev.guildhall.proto.ExchangeResponse;
import dev.guildhall.proto.ExpertServiceGrpc;
import dev.guildhall.router.exchange.BatchReply;
import dev.guildhall.router.exchange.ExchangeStream;
import dev.guildhall.router.exchange.ReplicaTimes;
import dev.guildhall.rpc.Transport;
import io.grpc.ManagedChannel;
import io.grpc.Server;
import io.grpc.Status;
import io.grpc.stub.StreamObserver;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;

/** Replicas whose exchange streams are open and never answer, all of one server. */
final class SilentReplicas implements AutoCloseable {
  private final Transport transport = new Transport(1, 1 << 20);
  private final List<ManagedChannel> channels = new ArrayList<>();
  private final Server server;

  SilentReplicas() {
    try {
      server = transport.server(0).addService(new Silent()).build().start();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** A replica with a batch of some rows in flight, or none. */
  Replica open(String name, int outstandingRows) throws Exception {
    ManagedChannel channel = transport.channel("localhost:" + server.getPort());
    channels.add(channel);
    CompletableFuture<ExchangeStream> opened = new CompletableFuture<>();
    ExchangeStream.open(
        channel,
        name,
        new ExchangeStream.Listener() {
          @Override
          public void opened(ExchangeStream stream) {
            opened.complete(stream);
          }

          @Override
          public void closed(Status status) {
            opened.completeExceptionally(status.asRuntimeException());
          }
        });
    ExchangeStream stream = opened.get(30, TimeUnit.SECONDS);
    Replica replica =
        new Replica(DescribeResponse.getDefaultInstance(), stream, new TrackRecord(name));
    if (outstandingRows > 0) {
      send(replica, outstandingRows);
    }
    return replica;
  }

  /** Gives a batch of the replica up, until it counts as silent. */
  void silence(Replica replica) {
    replica.stream().cancel(send(replica, 1));
    long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(30);
    while (!replica.stream().silent()) {
      assertTrue(System.nanoTime() < end, "not silent within 30 s");
      Thread.onSpinWait();
    }
  }

  private static long send(Replica replica, int rows) {
    long id =
        replica.stream()
            .send(ExchangeRequest.newBuilder(), Unpooled.EMPTY_BUFFER, rows, new Unanswered());
    assertTrue(id > 0);
    return id;
  }

  @Override
  public void close() {
    channels.forEach(ManagedChannel::shutdownNow);
    server.shutdownNow();
    transport.close();
  }

  private static final class Unanswered implements BatchReply {
    @Override
    public void succeeded(ByteBuf rows, ReplicaTimes times) {
      rows.release();
    }

    @Override
    public void failed(GuildhallException failure) {
      // At the end of the test.
    }
  }

  private static final class Silent extends ExpertServiceGrpc.ExpertServiceImplBase {
    @Override
    public void describe(DescribeRequest request, StreamObserver<DescribeResponse> responses) {
      responses.onNext(DescribeResponse.getDefaultInstance());
      responses.onCompleted();
    }

    @Override
    public StreamObserver<ExchangeRequest> exchange(StreamObserver<ExchangeResponse> responses) {
      return new StreamObserver<>() {
        @Override
        public void onNext(ExchangeRequest request) {
          // Never answered.
        }

        @Override
        public void onError(Throwable failure) {
          // The test is over.
        }

        @Override
        public void onCompleted() {
          responses.onCompleted();
        }
      };
    }
  }
}
