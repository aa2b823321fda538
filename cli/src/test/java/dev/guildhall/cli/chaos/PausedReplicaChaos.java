package dev.guildhall.cli.chaos;

import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.guildhall.cli.Await;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** One of two replicas stops moving (SIGSTOP) while its connections stay open, then goes on. */
@Tag("chaos")
class PausedReplicaChaos {
  private static final double SLOWER = 5;
  private static final String ROWS = "guildhall_expert_rows_total";

  @TempDir private Path folder;

  @Test
  void aPausedReplicaCostsNoRequestAndGetsWorkAgain() throws Exception {
    try (Fleet fleet = new Fleet(folder)) {
      List<Node> replicas = fleet.replicas(2);
      Node router = fleet.router(Fleet.targets(replicas));
      Fleet.awaitReplicas(router, 2);
      Node paused = replicas.getFirst();
      try (SteadyLoad load = SteadyLoad.start(router.target())) {
        Phase before = load.phase("before");
        Durations.hold(Durations.CALM);
        Phase during = load.phase("during");
        paused.process().pause();
        Durations.hold(Durations.PAUSED);
        Phase after = load.phase("after");
        paused.process().resume();
        Fleet.awaitReplicas(router, 2);
        double rows = paused.metric(ROWS);
        Await.until(
            "it gets work again", Durations.PATIENCE, () -> paused.metric(ROWS) > rows + 500);
        Durations.hold(Durations.CALM);
        load.stop();
        double slower = during.millis(99) / before.millis(99);
        Report report =
            new Report("paused replica")
                .with(before)
                .with(during)
                .with(after)
                .with("p99_ratio", slower)
                .with("hedges", router.metric("guildhall_batch_hedges_total"));
        report.publish();
        report.assertNothingFailed();
        assertTrue(slower <= SLOWER, "p99 during it: %s x before".formatted(slower));
      }
    }
  }
}
