package dev.guildhall.cli.chaos;

import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** One of two replicas runs for 2 ms of every 100 ms, and so is some 50 times slower. */
@Tag("chaos")
class SlowReplicaChaos {
  private static final double SLOWER = 3;

  @TempDir private Path folder;

  @Test
  void aSlowReplicaIsGoneAround() throws Exception {
    try (Fleet fleet = new Fleet(folder)) {
      List<Node> replicas = fleet.replicas(2);
      Node router = fleet.router(Fleet.targets(replicas));
      Fleet.awaitReplicas(router, 2);
      try (SteadyLoad load = SteadyLoad.start(router.target())) {
        Phase before = load.phase("before");
        Durations.hold(Durations.CALM);
        Phase during = load.phase("during");
        DutyCycle.impose(replicas.getFirst().process(), Durations.SLOWED);
        Phase after = load.phase("after");
        Durations.hold(Durations.CALM);
        load.stop();
        double slower = during.millis(99) / before.millis(99);
        Report report =
            new Report("slow replica")
                .with(before)
                .with(during)
                .with(after)
                .with("p99_ratio", slower)
                .with("hedges", router.metric("guildhall_batch_hedges_total"))
                .with("ejections", router.metric("guildhall_replica_ejections_total"));
        report.publish();
        report.assertNothingFailed();
        assertTrue(slower <= SLOWER, "p99 during it: %s x before".formatted(slower));
      }
    }
  }
}
