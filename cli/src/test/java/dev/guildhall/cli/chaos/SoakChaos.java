package dev.guildhall.cli.chaos;

import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.function.ToLongFunction;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * Mixed load for half an hour, unary and streamed, with malformed frames in between: what a process
 * holds in the last third is compared with the first.
 */
@Tag("chaos")
class SoakChaos {
  private static final int SAMPLES = 30;
  private static final int MALFORMED_A_SAMPLE = 500;
  private static final double MOST_GROWTH = 1.1;
  private static final long SLACK_BYTES = 8 << 20;
  private static final long SLACK_COUNT = 2;

  @TempDir private Path folder;

  @Test
  void nothingGrows() throws Exception {
    try (Fleet fleet = new Fleet(folder)) {
      List<Node> replicas = fleet.replicas(2);
      Node router = fleet.router(Fleet.targets(replicas));
      Fleet.awaitReplicas(router, 2);
      List<Node> watched = List.of(router, replicas.getFirst(), replicas.getLast());
      try (SteadyLoad load = SteadyLoad.start(callers(router.target()), Question.mixed())) {
        Phase soak = load.phase("soak");
        List<List<Resources>> samples = new ArrayList<>();
        for (int number = 0; number < SAMPLES; number++) {
          Malformed.send(
              router.port(),
              "/guildhall.v1.MoeLayerService/ForwardStream",
              MALFORMED_A_SAMPLE,
              number);
          Durations.hold(Durations.SOAK.dividedBy(SAMPLES));
          List<Resources> sample = new ArrayList<>();
          for (Node node : watched) {
            sample.add(Resources.of(node));
          }
          samples.add(sample);
        }
        load.stop();
        Report report =
            new Report("soak")
                .with("minutes", Durations.SOAK.toSeconds() / 60.0)
                .with(soak)
                .with("first", samples.getFirst().toString())
                .with("last", samples.getLast().toString());
        report.publish();
        report.assertNothingFailed();
        for (int node = 0; node < watched.size(); node++) {
          int number = node;
          List<Resources> of = samples.stream().map(sample -> sample.get(number)).toList();
          String who = number == 0 ? "router" : "expert service " + number;
          assertFlat(who + ": heap", of, Resources::heapBytes, SLACK_BYTES);
          assertFlat(who + ": direct memory", of, Resources::directBytes, SLACK_BYTES);
          assertFlat(who + ": threads", of, Resources::threads, SLACK_COUNT);
          assertFlat(who + ": files", of, Resources::files, SLACK_COUNT);
        }
      }
    }
  }

  private static List<Caller> callers(String router) {
    return List.of(
        UnaryCaller.of(router),
        UnaryCaller.of(router),
        StreamCaller.of(List.of(router), 0),
        StreamCaller.of(List.of(router), 0));
  }

  private static void assertFlat(
      String what, List<Resources> samples, ToLongFunction<Resources> value, long slack) {
    int third = samples.size() / 3;
    double first = mean(samples.subList(0, third), value);
    double last = mean(samples.subList(samples.size() - third, samples.size()), value);
    assertTrue(
        last <= MOST_GROWTH * first + slack, "%s: %.0f, then %.0f".formatted(what, first, last));
  }

  private static double mean(List<Resources> samples, ToLongFunction<Resources> value) {
    return samples.stream().mapToLong(value).average().orElseThrow();
  }
}
