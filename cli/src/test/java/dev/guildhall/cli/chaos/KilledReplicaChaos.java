package dev.guildhall.cli.chaos;

import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** One of two replicas is killed and started again, again and again. */
@Tag("chaos")
class KilledReplicaChaos {
  private static final double WORST_ADDED_MILLIS = 100;

  @TempDir private Path folder;

  @Test
  void killedReplicasCostNoRequestAndLittleTime() throws Exception {
    try (Fleet fleet = new Fleet(folder)) {
      List<Node> replicas = fleet.replicas(2);
      Node router = fleet.router(Fleet.targets(replicas));
      Fleet.awaitReplicas(router, 2);
      try (SteadyLoad load = SteadyLoad.start(router.target())) {
        Phase before = load.phase("before");
        Durations.hold(Durations.CALM);
        Phase during = load.phase("during");
        for (int round = 0; round < Durations.KILLS; round++) {
          Node lost = replicas.get(round % 2);
          lost.process().kill();
          Durations.hold(Durations.KILLED);
          lost.startAgain();
          Fleet.awaitReplicas(router, 2);
          load.awaitMore(50);
        }
        Phase after = load.phase("after");
        Durations.hold(Durations.CALM);
        load.stop();
        double worstAdded = during.worstAddedMillis(before);
        Report report =
            new Report("killed replica")
                .with("kills", Durations.KILLS)
                .with(before)
                .with(during)
                .with(after)
                .with("worst_added_ms", worstAdded);
        report.publish();
        report.assertNothingFailed();
        assertTrue(
            worstAdded <= WORST_ADDED_MILLIS, "worst added latency: %s ms".formatted(worstAdded));
      }
    }
  }
}
