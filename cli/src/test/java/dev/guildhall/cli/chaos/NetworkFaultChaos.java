package dev.guildhall.cli.chaos;

import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.guildhall.cli.Await;
import dev.guildhall.cli.Digits;
import dev.guildhall.proto.ForwardRequest;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * A router in a network namespace of its own, whose packets to and from one replica are lost, late,
 * refused or dropped.
 */
@Tag("chaos")
class NetworkFaultChaos {
  private static final double LOSS = 0.05;
  private static final Duration DELAY = Duration.ofMillis(50);
  private static final Duration DEADLINE = Duration.ofSeconds(2);

  /** For the answer's way to the client. */
  private static final Duration LATE = Duration.ofMillis(500);

  @TempDir private Path folder;

  @BeforeEach
  void needsNamespaces() {
    Optional<String> missing = NetworkNamespace.missing();
    assumeTrue(missing.isEmpty(), () -> "no network namespaces here: " + missing.orElseThrow());
  }

  @Test
  void faultsBetweenTheRouterAndOneOfTwoReplicasCostNoRequest() throws Exception {
    try (NetworkNamespace network = NetworkNamespace.create();
        Fleet fleet = new Fleet(folder)) {
      List<Node> replicas = fleet.replicas(2);
      try (DelayingProxy proxy = new DelayingProxy(replicas.getFirst().port())) {
        Node router =
            fleet.router(
                network.prefix(),
                network.inside(),
                List.of(
                    network.outside() + ":" + proxy.port(),
                    network.outside() + ":" + replicas.getLast().port()));
        Fleet.awaitReplicas(router, 2);
        try (SteadyLoad load = SteadyLoad.start(router.target())) {
          Phase before = load.phase("before");
          Durations.hold(Durations.CALM);
          Phase lossy = load.phase("lossy and late");
          network.lose(proxy.port(), LOSS);
          proxy.delay(DELAY);
          Durations.hold(Durations.LOSSY);
          network.heal();
          proxy.delay(Duration.ZERO);
          Fleet.awaitReplicas(router, 2);
          Phase partitioned = load.phase("partitioned");
          network.partition(proxy.port());
          Durations.hold(Durations.PARTITIONED);
          network.heal();
          Fleet.awaitReplicas(router, 2);
          Phase reset = load.phase("reset");
          network.reset(proxy.port());
          Durations.hold(Durations.CALM);
          network.heal();
          Fleet.awaitReplicas(router, 2);
          Phase after = load.phase("after");
          Durations.hold(Durations.CALM);
          load.stop();
          Report report =
              new Report("network faults")
                  .with(before)
                  .with(lossy)
                  .with(partitioned)
                  .with(reset)
                  .with(after)
                  .with("hedges", router.metric("guildhall_batch_hedges_total"))
                  .with("retries", router.metric("guildhall_batch_retries_total"));
          report.publish();
          report.assertNothingFailed();
        }
      }
    }
  }

  @Test
  void aPartitionFromTheOnlyReplicaIsToldWithinTheDeadline() throws Exception {
    ForwardRequest request = Question.request(Digits.LAYER, 40, Digits.HIDDEN_SIZE);
    try (NetworkNamespace network = NetworkNamespace.create();
        Fleet fleet = new Fleet(folder)) {
      Node replica = fleet.replicas(1).getFirst();
      Node router =
          fleet.router(
              network.prefix(),
              network.inside(),
              List.of(network.outside() + ":" + replica.port()));
      try (UnaryCaller caller = UnaryCaller.of(router.target(), DEADLINE)) {
        Await.until("it answers", Durations.PATIENCE, () -> answers(caller, request));
        network.partition(replica.port());
        Set<String> ends = new TreeSet<>();
        int asked = 0;
        double longest = 0;
        long end = System.nanoTime() + Durations.PARTITIONED.toNanos();
        while (System.nanoTime() < end) {
          long start = System.nanoTime();
          StatusRuntimeException failure =
              assertThrows(StatusRuntimeException.class, () -> caller.forward(request));
          longest = Math.max(longest, (System.nanoTime() - start) / 1e9);
          asked++;
          ends.add(failure.getStatus().getCode().name());
        }
        network.heal();
        Await.until("it answers again", Durations.PATIENCE, () -> answers(caller, request));
        new Report("partition from the only replica")
            .with("asked", asked)
            .with("ends", ends)
            .with("longest_seconds", longest)
            .publish();
        assertTrue(
            Set.of(Status.Code.UNAVAILABLE.name(), Status.Code.DEADLINE_EXCEEDED.name())
                .containsAll(ends),
            "ends: " + ends);
        assertTrue(longest * 1e9 <= DEADLINE.plus(LATE).toNanos(), longest + " s");
      }
    }
  }

  private static boolean answers(UnaryCaller caller, ForwardRequest request) {
    try {
      return caller.forward(request).getOutput().size() > 0;
    } catch (StatusRuntimeException e) {
      return false;
    }
  }
}
