package dev.guildhall.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.guildhall.expert.ExpertOptions;
import dev.guildhall.expert.ExpertServer;
import dev.guildhall.metrics.MetricNames;
import dev.guildhall.onnx.Device;
import dev.guildhall.proto.ForwardRequest;
import dev.guildhall.proto.ForwardResponse;
import dev.guildhall.proto.MoeLayerServiceGrpc;
import dev.guildhall.repository.ExpertParallel;
import dev.guildhall.repository.LayerRepository;
import dev.guildhall.router.RouterServer;
import dev.guildhall.rpc.Transport;
import io.grpc.ManagedChannel;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.StreamObserver;
import io.micrometer.core.instrument.Counter;
import io.micrometer.core.instrument.MeterRegistry;
import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Experts that several replicas host, and replicas that several routers share. */
class ReplicaSpreadTest {
  private static final String LAYER = "layer";
  private static final int HIDDEN = 8;

  @TempDir private Path folder;

  private final Transport transport = new Transport(1, 1 << 20);
  private LayerRepository repository;

  @BeforeEach
  void writeLayer() throws IOException {
    LayerFiles.mlp(
        folder, LAYER, "{\"hidden_size\": 8, \"num_experts\": 2, \"drop_tokens\": false}");
    repository = LayerRepository.open(folder);
  }

  @AfterEach
  void closeTransport() {
    transport.close();
  }

  /** A replica of every expert, with meters of its own. */
  private final class Replica implements AutoCloseable {
    private final MeterRegistry registry = new SimpleMeterRegistry();
    private final ExpertServer server;

    Replica() throws IOException {
      server =
          ExpertServer.start(
              ExpertOptions.of("replica", ExpertParallel.WHOLE, Device.CPU, 1),
              repository,
              transport.server(0),
              registry);
    }

    int port() {
      return server.port();
    }

    String target() {
      return "localhost:" + port();
    }

    double rows() {
      return registry.find(MetricNames.EXPERT_ROWS).counters().stream()
          .mapToDouble(Counter::count)
          .sum();
    }

    @Override
    public void close() {
      server.close();
    }
  }

  /** A router and a client of it. */
  private final class Router implements AutoCloseable {
    private final RouterServer server;
    private final ManagedChannel channel;

    Router(String... targets) throws IOException {
      server =
          RouterServer.start(
              ServedSystem.options(List.of(targets)),
              repository,
              transport,
              transport::channel,
              new SimpleMeterRegistry());
      channel = transport.channel("localhost:" + server.port());
      Await.until(
          "every target is connected", () -> server.replicas().connected() == targets.length);
    }

    ForwardResponse forward(int tokens) {
      return MoeLayerServiceGrpc.newBlockingStub(channel)
          .withDeadlineAfter(30, TimeUnit.SECONDS)
          .forward(request(tokens));
    }

    /** Requests that are in flight together. */
    List<ForwardResponse> forwardMany(int requests) throws Exception {
      Recorded<ForwardResponse> answers = new Recorded<>();
      StreamObserver<ForwardRequest> stream =
          MoeLayerServiceGrpc.newStub(channel).forwardStream(answers);
      for (int id = 0; id < requests; id++) {
        stream.onNext(request(16).toBuilder().setId(id).build());
      }
      stream.onCompleted();
      return answers.all();
    }

    @Override
    public void close() {
      channel.shutdownNow();
      server.close();
    }
  }

  private static ForwardRequest request(int tokens) {
    return Requests.random(LAYER, tokens, HIDDEN, tokens).build();
  }

  @Test
  void rowsAreSpreadOverTheReplicasOfAnExpert() throws Exception {
    try (Replica one = new Replica();
        Replica two = new Replica();
        Router router = new Router(one.target(), two.target())) {
      assertTrue(router.forwardMany(100).stream().noneMatch(ForwardResponse::hasError));
      Await.until("both have computed", () -> one.rows() > 0 && two.rows() > 0);
      Await.until("all rows are counted", () -> one.rows() + two.rows() >= 100 * 16);
    }
  }

  @Test
  void requestsGoOnWithTheOtherReplicaWhenOneIsClosed() throws Exception {
    try (Replica stays = new Replica();
        Replica goes = new Replica();
        Router router = new Router(stays.target(), goes.target())) {
      ForwardResponse before = router.forward(5);
      Thread closing = Thread.ofVirtual().start(goes::close);
      while (router.server.replicas().connected() == 2) {
        forwardOrLose(router);
      }
      assertEquals(before, router.forward(5));
      assertTrue(router.forwardMany(50).stream().noneMatch(ForwardResponse::hasError));
      closing.join();
    }
  }

  /** A batch that was with the lost replica fails; nothing else may. */
  private static void forwardOrLose(Router router) {
    try {
      router.forward(5);
    } catch (StatusRuntimeException e) {
      assertEquals(Status.Code.UNAVAILABLE, e.getStatus().getCode(), e.getMessage());
      assertTrue(String.valueOf(e.getMessage()).contains("layer layer, experts "), e.getMessage());
    }
  }

  @Test
  void severalRoutersShareTheSameExperts() throws Exception {
    try (Replica replica = new Replica();
        Router one = new Router(replica.target());
        Router two = new Router(replica.target())) {
      assertEquals(one.forward(9), two.forward(9));
      assertTrue(one.forwardMany(40).stream().noneMatch(ForwardResponse::hasError));
      assertTrue(two.forwardMany(40).stream().noneMatch(ForwardResponse::hasError));
    }
  }

  @Test
  void aDnsNameIsATarget() throws Exception {
    try (Replica replica = new Replica();
        Router byName = new Router("dns:///localhost:" + replica.port());
        Router byAddress = new Router("127.0.0.1:" + replica.port())) {
      assertEquals(byAddress.forward(3), byName.forward(3));
    }
  }
}
