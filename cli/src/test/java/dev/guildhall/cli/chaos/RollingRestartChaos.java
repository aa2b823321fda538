package dev.guildhall.cli.chaos;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * Two ranks of experts with two replicas each and two routers are restarted one after the other, as
 * an engine that rolls out a new version does. Unary clients have a channel that names both
 * routers; others have a ForwardStream, which they open at the other router when theirs ends.
 */
@Tag("chaos")
class RollingRestartChaos {
  private static final int EP_SIZE = 2;
  private static final int REPLICAS = 2;

  @TempDir private Path folder;

  @Test
  void aRollingRestartCostsNoRequest() throws Exception {
    try (Fleet fleet = new Fleet(folder)) {
      List<Node> experts = new ArrayList<>();
      for (int rank = 0; rank < EP_SIZE; rank++) {
        for (int replica = 0; replica < REPLICAS; replica++) {
          experts.add(fleet.expert(rank, EP_SIZE));
        }
      }
      for (Node expert : experts) {
        expert.awaitReady();
      }
      List<Node> routers =
          List.of(fleet.router(Fleet.targets(experts)), fleet.router(Fleet.targets(experts)));
      awaitConnected(routers, experts);
      try (SteadyLoad load = SteadyLoad.start(callers(Fleet.targets(routers)), Question.mixed())) {
        Phase before = load.phase("before");
        Durations.hold(Durations.CALM);
        Phase during = load.phase("during");
        List<Node> all = new ArrayList<>(experts);
        all.addAll(routers);
        for (Node node : all) {
          node.endWell();
          load.awaitMore(50);
          node.startAgain();
          awaitConnected(routers, experts);
          load.awaitMore(50);
        }
        load.stop();
        Report report =
            new Report("rolling restart").with("restarts", all.size()).with(before).with(during);
        report.publish();
        report.assertNothingFailed();
      }
    }
  }

  private static List<Caller> callers(List<String> routers) {
    return List.of(
        UnaryCaller.ofAll(routers),
        UnaryCaller.ofAll(routers),
        StreamCaller.of(routers, 0),
        StreamCaller.of(routers, 1));
  }

  private static void awaitConnected(List<Node> routers, List<Node> experts) {
    for (Node router : routers) {
      Fleet.awaitReplicas(router, experts.size());
    }
  }
}
