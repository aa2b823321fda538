package dev.guildhall.router.replicas;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.guildhall.error.ErrorCode;
import dev.guildhall.error.GuildhallException;
import dev.guildhall.proto.DescribeRequest;
import dev.guildhall.proto.DescribeResponse;
import dev.guildhall.proto.ExchangeRequest;
import dev.guildhall.proto.ExchangeResponse;
import dev.guildhall.proto.ExpertServiceGrpc;
import dev.guildhall.proto.HostedLayer;
import dev.guildhall.proto.MlpExpert;
import dev.guildhall.proto.MoeLayerConfig;
import dev.guildhall.repository.LayerConfig;
import dev.guildhall.repository.LayerVersion;
import dev.guildhall.router.exchange.BatchReply;
import dev.guildhall.router.exchange.ReplicaTimes;
import dev.guildhall.rpc.Transport;
import io.grpc.Server;
import io.grpc.health.v1.HealthCheckResponse.ServingStatus;
import io.grpc.protobuf.services.HealthStatusManager;
import io.grpc.stub.StreamObserver;
import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import java.util.List;
import java.util.Set;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/**
 * A replica that says that it is not healthy any more finishes what it has and gets nothing new.
 */
class ReplicaDrainTest {
  private static final String LAYER = "layer";
  private static final LayerVersion VERSION = new LayerVersion(LAYER, "");

  private final Transport transport = new Transport(1, 1 << 20);
  private final HealthStatusManager health = new HealthStatusManager();
  private final HeldExperts experts = new HeldExperts();
  private final BlockingQueue<RoutingTable> tables = new LinkedBlockingQueue<>();
  private final ReplicaDirectory directory =
      new ReplicaDirectory(
          transport::channel, transport.timer(), new Outliers(new SimpleMeterRegistry()));
  private Server server;

  @BeforeEach
  void start() throws Exception {
    server =
        transport
            .server(0)
            .addService(experts)
            .addService(health.getHealthService())
            .build()
            .start();
    directory.route(VERSION, LayerConfig.of(layer()));
    directory.onChange(tables::add);
    directory.targets(Set.of("localhost:" + server.getPort()));
  }

  @AfterEach
  void stop() {
    directory.close();
    server.shutdownNow();
    transport.close();
  }

  @Test
  void answersWhatItHasAndGetsNothingNew() throws Exception {
    finishesWhatItHas(() -> health.setStatus("", ServingStatus.NOT_SERVING));
    health.setStatus("", ServingStatus.SERVING);
    await(1);
  }

  @Test
  void answersWhatItHasWhenItIsNotNamedAnyMore() throws Exception {
    finishesWhatItHas(() -> directory.targets(Set.of()));
  }

  private void finishesWhatItHas(Runnable leaves) throws Exception {
    Replica replica = await(1).layer(VERSION).byExpert().getFirst().getFirst();
    Reply inFlight = new Reply();
    long id = replica.stream().send(ExchangeRequest.newBuilder(), rows(), 1, inFlight);
    assertEquals(id, experts.received.poll(30, TimeUnit.SECONDS).getBatchId());

    leaves.run();
    await(0);
    experts.answer(id);
    assertEquals(0, inFlight.bytes.get(30, TimeUnit.SECONDS));
    assertTrue(experts.halfClosed.get(30, TimeUnit.SECONDS));
    Reply late = new Reply();
    replica.stream().send(ExchangeRequest.newBuilder(), rows(), 1, late);
    assertEquals(ErrorCode.UNAVAILABLE, late.failure.get(30, TimeUnit.SECONDS).code());
  }

  private static ByteBuf rows() {
    return Unpooled.EMPTY_BUFFER;
  }

  /** The first table from now on with so many replicas. */
  private RoutingTable await(long replicas) throws InterruptedException {
    RoutingTable table;
    do {
      table = tables.poll(30, TimeUnit.SECONDS);
      assertTrue(table != null, "no table with " + replicas + " replicas within 30 s");
    } while (table.replicas() != replicas);
    return table;
  }

  private static MoeLayerConfig layer() {
    return MoeLayerConfig.newBuilder()
        .setHiddenSize(4)
        .setNumExperts(2)
        .setMlp(MlpExpert.newBuilder().setActivation("relu"))
        .build();
  }

  private static final class Reply implements BatchReply {
    private final CompletableFuture<Integer> bytes = new CompletableFuture<>();
    private final CompletableFuture<GuildhallException> failure = new CompletableFuture<>();

    @Override
    public void succeeded(ByteBuf rows, ReplicaTimes times) {
      bytes.complete(rows.readableBytes());
      rows.release();
    }

    @Override
    public void failed(GuildhallException reason) {
      failure.complete(reason);
    }
  }

  /** Answers batches when the test says so. */
  private static final class HeldExperts extends ExpertServiceGrpc.ExpertServiceImplBase {
    private final BlockingQueue<ExchangeRequest> received = new LinkedBlockingQueue<>();
    private final CompletableFuture<StreamObserver<ExchangeResponse>> responses =
        new CompletableFuture<>();
    private final CompletableFuture<Boolean> halfClosed = new CompletableFuture<>();

    void answer(long batchId) throws Exception {
      StreamObserver<ExchangeResponse> stream = responses.get(30, TimeUnit.SECONDS);
      stream.onNext(ExchangeResponse.newBuilder().setBatchId(batchId).build());
    }

    @Override
    public void describe(DescribeRequest request, StreamObserver<DescribeResponse> to) {
      to.onNext(
          DescribeResponse.newBuilder()
              .addLayers(
                  HostedLayer.newBuilder()
                      .setName(LAYER)
                      .setHiddenSize(4)
                      .setNumExperts(2)
                      .addAllExperts(List.of(0, 1)))
              .build());
      to.onCompleted();
    }

    @Override
    public StreamObserver<ExchangeRequest> exchange(StreamObserver<ExchangeResponse> to) {
      responses.complete(to);
      return new StreamObserver<>() {
        @Override
        public void onNext(ExchangeRequest request) {
          received.add(request);
        }

        @Override
        public void onError(Throwable failure) {
          // The test is over.
        }

        @Override
        public void onCompleted() {
          halfClosed.complete(true);
          to.onCompleted();
        }
      };
    }
  }
}
