package dev.guildhall.cli.chaos;

import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.guildhall.cli.Await;
import dev.guildhall.cli.LayerFiles;
import dev.guildhall.proto.LayerSummary;
import dev.guildhall.proto.ListLayersRequest;
import dev.guildhall.proto.MoeLayerServiceGrpc;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A layer's folder is swapped again and again, and every process follows by watching it. */
@Tag("chaos")
class ReplacedLayerChaos {
  private static final String LIVE = "live";
  private static final int HIDDEN_SIZE = 64;
  private static final int VERSIONS = 3;
  private static final String JSON = "{\"hidden_size\": 64, \"num_experts\": 8, \"k\": 2}";

  @TempDir private Path folder;

  @Test
  void everyAnswerIsOfOneVersion() throws Exception {
    try (Fleet fleet = new Fleet(folder, List.of("--watch"))) {
      LayerFiles.mlp(fleet.repository(), LIVE, JSON, 0);
      List<Node> experts = List.of(fleet.expert(0, 2), fleet.expert(1, 2));
      for (Node expert : experts) {
        expert.awaitReady();
      }
      Node router = fleet.router(Fleet.targets(experts));
      ManagedChannel channel =
          Grpc.newChannelBuilder(router.target(), InsecureChannelCredentials.create()).build();
      try {
        replaceUnderLoad(fleet, router, channel);
      } finally {
        channel.shutdownNow();
      }
    }
  }

  private void replaceUnderLoad(Fleet fleet, Node router, ManagedChannel channel) throws Exception {
    List<Caller> callers = new ArrayList<>();
    for (int i = 0; i < SteadyLoad.CLIENTS; i++) {
      callers.add(UnaryCaller.of(router.target()));
    }
    try (SteadyLoad load = SteadyLoad.startWith(callers, questions(fleet, channel, callers))) {
      Phase during = load.phase("during");
      Set<String> digests = new HashSet<>();
      for (int i = 0; i < Durations.REPLACEMENTS; i++) {
        digests.add(replace(fleet, channel, i % VERSIONS));
        load.awaitMore(20);
      }
      load.stop();
      Report report =
          new Report("replaced layer")
              .with("replacements", Durations.REPLACEMENTS)
              .with("versions", digests.size())
              .with(during);
      report.publish();
      report.assertNothingFailed();
      assertEquals(Math.min(VERSIONS, Durations.REPLACEMENTS), digests.size());
    }
  }

  /** What is right in each version; the last one is served afterwards. */
  private List<Question> questions(Fleet fleet, ManagedChannel channel, List<Caller> callers)
      throws Exception {
    List<Question> questions = new ArrayList<>();
    for (int tokens : new int[] {1, 40}) {
      questions.add(Question.ask(callers.getFirst(), Question.request(LIVE, tokens, HIDDEN_SIZE)));
    }
    for (int version = 1; version < VERSIONS; version++) {
      replace(fleet, channel, version);
      for (int i = 0; i < questions.size(); i++) {
        questions.set(i, questions.get(i).askAgain(callers.getFirst()));
      }
    }
    return questions;
  }

  /** Swaps the layer's folder, and waits until the router serves what is in it. */
  private String replace(Fleet fleet, ManagedChannel channel, int version) throws IOException {
    String before = digest(channel);
    Path next = Files.createTempDirectory(folder, "next-");
    LayerFiles.mlp(next, LIVE, JSON, version);
    Path live = fleet.repository().resolve(LIVE);
    Files.move(live, next.resolve("old"));
    Files.move(next.resolve(LIVE), live);
    Await.until("the router serves it", Durations.PATIENCE, () -> !digest(channel).equals(before));
    return digest(channel);
  }

  private static String digest(ManagedChannel channel) {
    return MoeLayerServiceGrpc.newBlockingStub(channel)
        .withDeadlineAfter(Durations.PATIENCE.toSeconds(), TimeUnit.SECONDS)
        .listLayers(ListLayersRequest.getDefaultInstance())
        .getLayersList()
        .stream()
        .filter(layer -> layer.getName().equals(LIVE))
        .map(LayerSummary::getDigest)
        .findFirst()
        .orElseThrow();
  }
}
