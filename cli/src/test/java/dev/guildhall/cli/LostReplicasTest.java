package dev.guildhall.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.guildhall.metrics.MetricNames;
import dev.guildhall.proto.ForwardRequest;
import dev.guildhall.proto.ForwardResponse;
import dev.guildhall.proto.MoeLayerServiceGrpc;
import dev.guildhall.repository.LayerRepository;
import dev.guildhall.router.RouterServer;
import dev.guildhall.rpc.Transport;
import io.grpc.ManagedChannel;
import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLongArray;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * Two replicas of every expert, each a process, under steady load from several clients: one is lost
 * or restarted again and again, and no request fails or is answered otherwise.
 */
class LostReplicasTest {
  private static final int CLIENTS = 4;
  private static final int ROUNDS = 3;
  private static final double TOLERANCE = 1e-5;

  @TempDir private Path folder;

  private final SimpleMeterRegistry registry = new SimpleMeterRegistry();

  private interface Fault {
    void happen(CommandProcess replica) throws Exception;
  }

  private interface Recovery {
    CommandProcess recover(CommandProcess replica, int port) throws Exception;
  }

  @Test
  void killedReplicasCostNoRequest() throws Exception {
    survives(CommandProcess::kill, this::startedAgain);
  }

  @Test
  void stoppedReplicasCostNoRequestAndEndWell() throws Exception {
    survives(
        replica -> {
          replica.terminate();
          assertEquals(0, replica.exitCode(), replica.err());
        },
        this::startedAgain);
  }

  /** Nothing tells the router of it: what was sent to the replica is asked of the other too. */
  @Test
  void pausedReplicasCostNoRequest() throws Exception {
    survives(
        CommandProcess::pause,
        (replica, port) -> {
          replica.resume();
          return replica;
        });
    assertTrue(registry.get(MetricNames.BATCH_HEDGES).counter().count() > 0);
  }

  private CommandProcess startedAgain(CommandProcess gone, int port) throws Exception {
    gone.close();
    return replica(port);
  }

  private void survives(Fault fault, Recovery recovery) throws Exception {
    AtomicBoolean stop = new AtomicBoolean();
    AtomicLongArray answered = new AtomicLongArray(CLIENTS);
    CommandProcess[] replicas = {replica(0), replica(0)};
    int[] ports = {replicas[0].port("grpc"), replicas[1].port("grpc")};
    try (Transport transport = new Transport(1, ServedSystem.MAX_MESSAGE_BYTES);
        RouterServer router = router(transport, ports);
        ExecutorService threads = Executors.newFixedThreadPool(CLIENTS)) {
      Await.until("both replicas", () -> router.replicas().connected() == 2);
      ManagedChannel channel = transport.channel("localhost:" + router.port());
      try {
        List<Future<?>> clients = new ArrayList<>();
        for (int client = 0; client < CLIENTS; client++) {
          int number = client;
          ForwardRequest request = request(client);
          ForwardResponse undisturbed = forward(channel, request);
          clients.add(
              threads.submit(() -> {
                while (!stop.get()) {
                  assertSame(undisturbed, forward(channel, request));
                  answered.incrementAndGet(number);
                }
              }));
        }
        for (int round = 0; round < ROUNDS; round++) {
          int lost = round % 2;
          awaitMore(answered);
          fault.happen(replicas[lost]);
          awaitMore(answered);
          replicas[lost] = recovery.recover(replicas[lost], ports[lost]);
          Await.until("it is back", () -> router.replicas().connected() == 2);
        }
        stop.set(true);
        for (Future<?> client : clients) {
          client.get(30, TimeUnit.SECONDS);
        }
      } finally {
        stop.set(true);
        channel.shutdownNow();
      }
    } finally {
      replicas[0].close();
      replicas[1].close();
    }
  }

  private static void awaitMore(AtomicLongArray answered) {
    for (int client = 0; client < CLIENTS; client++) {
      int number = client;
      long before = answered.get(number);
      Await.until("client %d goes on".formatted(number), () -> answered.get(number) > before + 10);
    }
  }

  private static void assertSame(ForwardResponse undisturbed, ForwardResponse answer) {
    assertTrue(answer.getOutput().size() > 0);
    assertEquals(
        undisturbed.toBuilder().clearOutput().build(), answer.toBuilder().clearOutput().build());
    Tensors.assertClose(
        Tensors.floats(undisturbed.getOutput()), Tensors.floats(answer.getOutput()), TOLERANCE);
  }

  private static ForwardResponse forward(ManagedChannel channel, ForwardRequest request) {
    return MoeLayerServiceGrpc.newBlockingStub(channel)
        .withDeadlineAfter(30, TimeUnit.SECONDS)
        .forward(request);
  }

  private static ForwardRequest request(int client) {
    return Requests.random(Digits.LAYER, 1 + 40 * client, Digits.HIDDEN_SIZE, client)
        .setSeed(client)
        .setReturnRoutes(true)
        .build();
  }

  private CommandProcess replica(int port) throws Exception {
    return CommandProcess.start(
        folder,
        "expert",
        "--repository=" + Digits.REPOSITORY,
        "--port=" + port,
        "--metrics-port=0");
  }

  private RouterServer router(Transport transport, int... ports) throws Exception {
    return RouterServer.start(
        ServedSystem.options(List.of("localhost:" + ports[0], "localhost:" + ports[1])),
        LayerRepository.open(Digits.REPOSITORY),
        transport,
        transport::channel,
        registry);
  }
}
