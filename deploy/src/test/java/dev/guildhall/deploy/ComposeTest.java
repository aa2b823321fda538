package dev.guildhall.deploy;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT_UNALIGNED;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.github.dockerjava.api.command.InspectContainerResponse;
import com.github.dockerjava.api.model.HostConfig;
import dev.guildhall.proto.DescribeLayerRequest;
import dev.guildhall.proto.MoeLayerServiceGrpc;
import dev.guildhall.safetensors.SafetensorsFile;
import io.grpc.ManagedChannel;
import io.grpc.netty.NettyChannelBuilder;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The compose file as users bring it up, and what they then do to it. */
@NeedsEngine
class ComposeTest {
  private static final Duration SEEN_WITHIN = Duration.ofSeconds(15);
  private static final Duration DEADLINE = Duration.ofSeconds(20);
  private static final Duration SLOWEST_WITH_LOSS = Duration.ofSeconds(5);
  private static final float TOLERANCE = 1e-4f;

  private static ComposedStack stack;
  private static ManagedChannel channel;

  @TempDir private Path folder;

  @BeforeAll
  static void up() throws Exception {
    stack = ComposedStack.up();
    channel =
        NettyChannelBuilder.forAddress("localhost", stack.port("router", 8001))
            .usePlaintext()
            .build();
  }

  @AfterAll
  static void down() throws Exception {
    if (channel != null) {
      channel.shutdownNow();
    }
    if (stack != null) {
      stack.close();
    }
  }

  @Test
  void servesTheExampleThroughThePublishedPort() throws Exception {
    Path input = Commands.ROOT.resolve("examples/digits/heldout.safetensors");
    Path output = folder.resolve("output.safetensors");
    Commands.guildhall(
        "infer",
        "--target=localhost:" + stack.port("router", 8001),
        "--layer=digits",
        "--input=" + input,
        "--output=" + output);
    assertArrayEquals(floats(input, "moe_output"), floats(output, "output"), TOLERANCE);
  }

  @Test
  void answersBrowsersAndRestClientsThroughThePublishedPort() throws Exception {
    assertTrue(get("/").contains("<title>Guildhall"), "the live page");
    assertEquals(
        "digits", new ObjectMapper().readTree(get("/v2/models/digits")).path("name").asText());
  }

  private static String get(String path) throws Exception {
    URI uri = URI.create("http://localhost:%d%s".formatted(stack.port("router", 8000), path));
    try (HttpClient http = HttpClient.newHttpClient()) {
      HttpResponse<String> answer =
          http.send(
              HttpRequest.newBuilder(uri).timeout(DEADLINE).build(),
              HttpResponse.BodyHandlers.ofString());
      assertEquals(200, answer.statusCode(), answer.body());
      return answer.body();
    }
  }

  private static float[] floats(Path file, String tensor) {
    try (SafetensorsFile tensors = SafetensorsFile.open(file)) {
      return tensors.tensor(tensor).data().toArray(JAVA_FLOAT_UNALIGNED);
    }
  }

  @Test
  void containersHaveNoRightsAndNothingToWriteTo() throws Exception {
    for (String service : List.of("router", "expert-0")) {
      InspectContainerResponse container = stack.inspect(stack.containers(service).getFirst());
      HostConfig host = container.getHostConfig();
      assertEquals("65532:65532", Objects.requireNonNull(container.getConfig()).getUser());
      assertEquals(true, host.getReadonlyRootfs());
      assertEquals(1, Objects.requireNonNull(host.getCapDrop()).length);
    }
  }

  @Test
  void aKilledReplicaIsNotMissed() throws Exception {
    String replica = stack.containers("expert-1").getFirst();
    SteadyRequests.Answers answers =
        SteadyRequests.during(
            channel,
            DEADLINE,
            () -> {
              stack.docker().killContainerCmd(replica).exec();
              awaitHosts(4, 1);
              stack.docker().startContainerCmd(replica).exec();
              stack.awaitHealthy(replica);
              awaitHosts(4, 2);
            });
    print("replica killed and started again", answers);
  }

  /** A router that waited for it would be too late. */
  @Test
  void aPausedReplicaIsNotMissed() throws Exception {
    Duration pause = Duration.ofSeconds(12);
    String replica = stack.containers("expert-0").getFirst();
    SteadyRequests.Answers answers =
        SteadyRequests.during(
            channel,
            Duration.ofSeconds(8),
            () -> {
              stack.docker().pauseContainerCmd(replica).exec();
              try {
                Thread.sleep(pause);
              } finally {
                stack.docker().unpauseContainerCmd(replica).exec();
              }
            });
    // The engine calls a paused container unhealthy until it is asked again.
    stack.awaitHealthy(replica);
    print("replica paused for 12 s, deadline 8 s", answers);
  }

  /**
   * The 15 s count from when {@code docker compose up --wait} returns, as the new replica is
   * healthy then; before that it starts and loads its experts.
   */
  @Test
  void aScaledServiceIsUsedWithin15SecondsAndScalingDownLosesNothing() throws Exception {
    List<String> before = stack.containers("expert-0");
    SteadyRequests.Answers answers =
        SteadyRequests.during(
            channel,
            DEADLINE,
            () -> {
              try {
                stack.scale("expert-0", 3);
                List<String> added = new ArrayList<>(stack.containers("expert-0"));
                added.removeAll(before);
                assertEquals(1, added.size());
                String address = address(added.getFirst());
                long started = System.nanoTime();
                ComposedStack.await(
                    "rows computed at " + address, SEEN_WITHIN, () -> rowsComputedAt(address) > 0);
                System.out.printf(
                    "compose: the new replica is used %.1f s after it is healthy%n",
                    (System.nanoTime() - started) / 1e9);
                awaitHosts(0, 3);
              } finally {
                stack.scale("expert-0", 2);
              }
              awaitHosts(0, 2);
            });
    print("scaled from 2 to 3 and back", answers);
  }

  /** By new containers, as an update does: one more, then one of the old ones less. */
  @Test
  void everyExpertServiceIsReplacedOneByOne() throws Exception {
    Set<String> old = new HashSet<>();
    SteadyRequests.Answers answers =
        SteadyRequests.during(
            channel,
            DEADLINE,
            () -> {
              for (String service : List.of("expert-0", "expert-1")) {
                int expert = service.equals("expert-0") ? 0 : 4;
                for (String replica : stack.containers(service)) {
                  old.add(replica);
                  stack.scale(service, 3);
                  awaitHosts(expert, 3);
                  stack.remove(replica);
                  awaitHosts(expert, 2);
                }
              }
            });
    for (String service : List.of("expert-0", "expert-1")) {
      List<String> replaced = stack.containers(service);
      assertEquals(2, replaced.size());
      assertTrue(Collections.disjoint(old, replaced));
    }
    print("4 expert services replaced by new ones", answers);
  }

  /** Loss, not delay: what is lost comes again after 200 ms and more, or a hedge overtakes it. */
  @Test
  void aRouterThatLosesPacketsLosesNoRequest() throws Exception {
    String pid =
        String.valueOf(
            stack.inspect(stack.containers("router").getFirst()).getState().getPidLong());
    List<String> rules = List.of("nsenter", "-t", pid, "-n", "iptables");
    try {
      Commands.run(Map.of(), with(rules, "-L"));
    } catch (IOException | IllegalStateException e) {
      NeedsEngine.Condition.missing("nsenter and iptables are not to be used: " + e.getMessage());
    }
    String[] loss =
        "INPUT -p tcp --sport 8101 -m statistic --mode random --probability 0.1 -j DROP"
            .split(" ", -1);
    SteadyRequests.Answers answers =
        SteadyRequests.during(
            channel,
            DEADLINE,
            () -> {
              Commands.run(Map.of(), with(with(rules, "-A"), loss));
              try {
                Thread.sleep(5_000);
              } finally {
                Commands.run(Map.of(), with(with(rules, "-D"), loss));
              }
            });
    assertTrue(answers.slowest().compareTo(SLOWEST_WITH_LOSS) < 0, answers.toString());
    print("10 % of packets to the router lost for 5 s", answers);
  }

  /** Of any other collector, heap and port. */
  @Test
  void theImagesHealthCheckBearsWhatTheProcessIsGiven() throws Exception {
    String container =
        Commands.run(
                Map.of(),
                List.of(
                    "docker",
                    "run",
                    "--detach",
                    "--read-only",
                    "--tmpfs=/tmp",
                    "--env=JDK_JAVA_OPTIONS=-XX:+UseZGC -Xms128m -Xmx256m",
                    "--volume=%s:/models:ro".formatted(Commands.ROOT.resolve("examples/digits")),
                    "guildhall-expert-cpu",
                    "expert",
                    "--repository=/models",
                    "--port=9101"))
            .strip();
    try {
      stack.awaitHealthy(container);
    } finally {
      stack.docker().removeContainerCmd(container).withForce(true).exec();
    }
  }

  @Test
  void everyProfileMountsFilesThatAreThere() throws Exception {
    String config =
        Commands.run(
            Map.of(),
            List.of(
                "docker",
                "compose",
                "--profile=gpu",
                "--profile=observability",
                "config",
                "--format=json"));
    JsonNode services = new ObjectMapper().readTree(config).path("services");
    assertEquals(7, services.size());
    for (JsonNode volume :
        services.findValues("volumes").stream().flatMap(JsonNode::valueStream).toList()) {
      String source = volume.path("source").asText();
      assertTrue(Files.exists(Path.of(source)), source);
    }
  }

  private static List<String> with(List<String> command, String... more) {
    List<String> all = new ArrayList<>(command);
    all.addAll(List.of(more));
    return all;
  }

  /** Waits until the router knows so many replicas of an expert. */
  private static void awaitHosts(int expert, int count) throws Exception {
    ComposedStack.await(
        "%d replicas host expert %d".formatted(count, expert), () -> hosts(expert) == count);
  }

  private static int hosts(int expert) {
    return MoeLayerServiceGrpc.newBlockingStub(channel)
        .describeLayer(DescribeLayerRequest.newBuilder().setLayer("digits").build())
        .getExpertsList()
        .stream()
        .filter(hosts -> hosts.getExpert() == expert)
        .mapToInt(hosts -> hosts.getReplicasCount())
        .sum();
  }

  private static String address(String container) {
    return Objects.requireNonNull(
        stack
            .inspect(container)
            .getNetworkSettings()
            .getNetworks()
            .values()
            .iterator()
            .next()
            .getIpAddress());
  }

  /** By the expert service's own count. */
  private static double rowsComputedAt(String address) throws Exception {
    return MetricsPage.read("http://%s:8102/metrics".formatted(address))
        .sum("guildhall_expert_rows_total");
  }

  private static void print(String event, SteadyRequests.Answers answers) {
    assertTrue(answers.count() > 0);
    System.out.printf(
        "compose: %s: %d answers, 0 failed, %d refused at first, the slowest after %d ms%n",
        event, answers.count(), answers.refused(), answers.slowest().toMillis());
  }
}
