package dev.guildhall.cli.chaos;

import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.guildhall.cli.Await;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Strangers send nonsense, or nothing, to a router and an expert service that serve others. */
@Tag("chaos")
class MalformedFramesChaos {
  /** The threads are those that answer /metrics, of which there are ten at most. */
  private static final Resources SLACK = new Resources(0, 16 << 20, 32 << 20, 10, 8);

  private static final String FORWARD = "/guildhall.v1.MoeLayerService/Forward";
  private static final String EXCHANGE = "/guildhall.v1.ExpertService/Exchange";
  private static final int TRICKLES = 20;

  @TempDir private Path folder;

  @Test
  void nonsenseNeitherDisturbsNorLeaks() throws Exception {
    try (Fleet fleet = new Fleet(folder)) {
      Node expert = fleet.replicas(1).getFirst();
      Node router = fleet.router(List.of(expert.target()));
      try (SteadyLoad load = SteadyLoad.start(router.target())) {
        // Once before it is measured, so that pools have their size.
        attack(router, expert, 0.1);
        Resources routerBefore = Resources.of(router);
        Resources expertBefore = Resources.of(expert);
        Phase before = load.phase("before");
        Durations.hold(Durations.CALM);
        Phase during = load.phase("during");
        int connections = attack(router, expert, 1);
        Phase after = load.phase("after");
        Report report =
            new Report("malformed frames")
                .with("frames_each", Durations.MALFORMED_FRAMES)
                .with("connections", connections)
                .with("idle_connections_each", Durations.IDLE_CONNECTIONS);
        try {
          awaitBack(router, routerBefore);
          awaitBack(expert, expertBefore);
          Durations.hold(Durations.CALM);
          load.stop();
        } finally {
          report
              .with(before)
              .with(during)
              .with(after)
              .with("router_before", routerBefore.toString())
              .with("router_after", Resources.of(router).toString())
              .with("expert_before", expertBefore.toString())
              .with("expert_after", Resources.of(expert).toString())
              .publish();
        }
        report.assertNothingFailed();
        assertTrue(router.process().isAlive() && expert.process().isAlive());
      }
    }
  }

  /** Both at once, each with so much of its share. */
  private static int attack(Node router, Node expert, double share) throws Exception {
    try (ExecutorService threads = Executors.newVirtualThreadPerTaskExecutor();
        IdleConnections ofRouter = idle(router, FORWARD, share);
        IdleConnections ofExpert = idle(expert, EXCHANGE, share)) {
      int frames = (int) Math.max(1, share * Durations.MALFORMED_FRAMES);
      Future<Integer> toRouter =
          threads.submit(() -> Malformed.send(router.port(), FORWARD, frames, 1));
      Future<Integer> toExpert =
          threads.submit(() -> Malformed.send(expert.port(), EXCHANGE, frames, 2));
      for (int i = 0; i < TRICKLES; i++) {
        ofRouter.trickle();
        ofExpert.trickle();
        Durations.hold(Durations.IDLE.dividedBy(TRICKLES));
      }
      return endOf(toRouter) + endOf(toExpert);
    }
  }

  private static int endOf(Future<Integer> attack) throws Exception {
    try {
      return attack.get(20, TimeUnit.MINUTES);
    } catch (TimeoutException e) {
      attack.cancel(true);
      throw e;
    }
  }

  private static IdleConnections idle(Node node, String path, double share) throws IOException {
    return IdleConnections.open(
        node.port(), (int) Math.max(3, share * Durations.IDLE_CONNECTIONS), path);
  }

  private static void awaitBack(Node node, Resources before) {
    Await.until(
        "resources are back at " + before,
        Durations.PATIENCE,
        () -> {
          try {
            return Resources.of(node).within(before, SLACK);
          } catch (IOException e) {
            throw new UncheckedIOException(e);
          } catch (InterruptedException e) {
            throw new IllegalStateException(e);
          }
        });
  }
}
