package dev.guildhall.router.replicas;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.guildhall.error.ErrorCode;
import dev.guildhall.error.GuildhallException;
import dev.guildhall.proto.DescribeRequest;
import dev.guildhall.proto.DescribeResponse;
import dev.guildhall.proto.ExchangeRequest;
import dev.guildhall.proto.ExchangeResponse;
import dev.guildhall.proto.ExpertServiceGrpc;
import dev.guildhall.router.exchange.BatchReply;
import dev.guildhall.router.exchange.ExchangeStream;
import dev.guildhall.rpc.Transport;
import io.grpc.ManagedChannel;
import io.grpc.Server;
import io.grpc.Status;
import io.grpc.stub.StreamObserver;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** Replicas whose streams lead to a server that never answers, so that rows stay outstanding. */
class ReplicaPickerTest {
  private final Transport transport = new Transport(1, 1 << 20);
  private final List<ManagedChannel> channels = new ArrayList<>();
  private Server server;

  @BeforeEach
  void start() throws Exception {
    server = transport.server(0).addService(new Silent()).build().start();
  }

  @AfterEach
  void stop() {
    channels.forEach(ManagedChannel::shutdownNow);
    server.shutdownNow();
    transport.close();
  }

  @Test
  void takesTheReplicaWithTheLeastRowsOutstanding() throws Exception {
    Replica busy = replica("busy", 50);
    Replica calm = replica("calm", 10);
    Replica busier = replica("busier", 60);
    // Where the search starts is random.
    for (int i = 0; i < 20; i++) {
      ReplicaPicker picker = new ReplicaPicker(hosts(List.of(List.of(busy, calm, busier))));
      picker.choose(0, 5);
      assertEquals(List.of(calm), picker.chosen());
    }
  }

  @Test
  void countsTheRowsThatThisRequestHasJustGivenOut() throws Exception {
    Replica one = replica("one", 0);
    Replica two = replica("two", 0);
    ReplicaPicker picker = new ReplicaPicker(hosts(List.of(List.of(one, two))));
    int first = picker.choose(0, 10);
    int second = picker.choose(0, 4);
    assertEquals(1 - first, second);
    assertEquals(second, picker.choose(0, 4));
    assertEquals(second, picker.choose(0, 4));
    assertEquals(first, picker.choose(0, 1));
    assertEquals(Set.of(one, two), new HashSet<>(picker.chosen()));
  }

  @Test
  void oneReplicaOfSeveralExpertsHasOneNumber() throws Exception {
    Replica one = replica("one", 0);
    ReplicaPicker picker = new ReplicaPicker(hosts(List.of(List.of(one), List.of(one))));
    assertEquals(picker.choose(0, 3), picker.choose(1, 3));
    assertEquals(List.of(one), picker.chosen());
  }

  @Test
  void equalsShareTheWork() throws Exception {
    Replica one = replica("one", 0);
    Replica two = replica("two", 0);
    Set<Replica> chosen = new HashSet<>();
    for (int i = 0; i < 100; i++) {
      ReplicaPicker picker = new ReplicaPicker(hosts(List.of(List.of(one, two))));
      picker.choose(0, 1);
      chosen.addAll(picker.chosen());
    }
    assertEquals(Set.of(one, two), chosen);
  }

  @Test
  void namesEveryExpertWithoutAHost() throws Exception {
    Replica one = replica("one", 0);
    ReplicaPicker picker =
        new ReplicaPicker(hosts(List.of(List.of(one), List.of(), List.of(one), List.of())));
    picker.choose(0, 1);
    GuildhallException e = assertThrows(GuildhallException.class, () -> picker.choose(1, 1));
    assertEquals(ErrorCode.UNAVAILABLE, e.code());
    assertEquals("layer layer: no replica hosts expert 1, expert 3", e.getMessage());
  }

  private static LayerHosts hosts(List<List<Replica>> byExpert) {
    return new LayerHosts("layer", byExpert);
  }

  private Replica replica(String name, int outstandingRows) throws Exception {
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
    if (outstandingRows > 0) {
      long id =
          stream.send(
              ExchangeRequest.newBuilder(),
              Unpooled.EMPTY_BUFFER,
              outstandingRows,
              new Unanswered());
      assertTrue(id > 0);
    }
    return new Replica(name, DescribeResponse.getDefaultInstance(), stream);
  }

  private static final class Unanswered implements BatchReply {
    @Override
    public void succeeded(ByteBuf rows) {
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
