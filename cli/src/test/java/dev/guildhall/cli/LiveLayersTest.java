package dev.guildhall.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.guildhall.expert.ExpertServer;
import dev.guildhall.proto.DescribeRequest;
import dev.guildhall.proto.ExpertServiceGrpc;
import dev.guildhall.proto.ForwardRequest;
import dev.guildhall.proto.ForwardResponse;
import dev.guildhall.proto.ListLayersRequest;
import dev.guildhall.proto.MoeLayerServiceGrpc;
import dev.guildhall.repository.LayerRepository;
import dev.guildhall.router.RouterServer;
import dev.guildhall.rpc.Transport;
import io.grpc.ManagedChannel;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Layers that come, change and go while a router and two ranks of experts run. */
class LiveLayersTest {
  private static final String LAYER = "layer";
  private static final String JSON =
      "{\"hidden_size\": 8, \"num_experts\": 4, \"k\": 2, \"top2_2nd_expert_sampling\": false}";
  private static final int HIDDEN = 8;
  private static final int TOKENS = 32;

  @TempDir private Path folder;
  @TempDir private Path elsewhere;

  private final Transport transport = new Transport(1, ServedSystem.MAX_MESSAGE_BYTES);
  private final SimpleMeterRegistry registry = new SimpleMeterRegistry();
  private ExpertFleet experts;
  private RouterServer router;
  private ManagedChannel channel;

  @BeforeEach
  void start() throws Exception {
    LayerFiles.mlp(folder, LAYER, JSON, 0);
    LayerRepository repository = LayerRepository.open(folder);
    experts = ExpertFleet.start(repository, ExpertFleet.ranks(2), transport, registry);
    router =
        RouterServer.start(
            ServedSystem.options(experts.targets()),
            repository,
            transport,
            transport::channel,
            registry);
    router.ready().get(30, TimeUnit.SECONDS);
    channel = transport.channel("localhost:" + router.port());
  }

  @AfterEach
  void stop() {
    channel.shutdownNow();
    router.close();
    experts.close();
    transport.close();
  }

  @Test
  void aLayerIsReplacedOnceEveryExpertHasItsNewVersion() throws Exception {
    ForwardResponse first = forward(LAYER);
    String before = digest();
    replaceFiles(1);
    router.repository().load(LAYER).get(30, TimeUnit.SECONDS);
    experts.servers().getFirst().repository().load(LAYER).get(30, TimeUnit.SECONDS);
    assertEquals(first, forward(LAYER), "half of the experts have the new version");
    assertEquals(before, digest());

    experts.servers().getLast().repository().load(LAYER).get(30, TimeUnit.SECONDS);
    Await.until("the new version is served", () -> !digest().equals(before));
    assertNotEquals(first.getOutput(), forward(LAYER).getOutput());

    replaceFiles(0);
    loadEverywhere();
    Await.until("the first version is back", () -> digest().equals(before));
    assertEquals(first, forward(LAYER));
  }

  @Test
  void underLoadNoRequestFailsAndEveryAnswerIsOfOneVersion() throws Exception {
    Map<ForwardResponse, Long> answers = new ConcurrentHashMap<>();
    AtomicBoolean stop = new AtomicBoolean();
    try (ExecutorService threads = Executors.newFixedThreadPool(2)) {
      List<Future<?>> clients = new ArrayList<>();
      for (int client = 0; client < 2; client++) {
        clients.add(
            threads.submit(() -> {
              while (!stop.get()) {
                answers.merge(forward(LAYER), 1L, Long::sum);
              }
            }));
      }
      for (int version = 1; version <= 6; version++) {
        String before = digest();
        replaceFiles(version % 3);
        loadEverywhere();
        Await.until("the next version is served", () -> !digest().equals(before));
        long soFar = total(answers);
        Await.until("requests go on", () -> total(answers) > soFar + 4);
      }
      stop.set(true);
      for (Future<?> client : clients) {
        client.get(30, TimeUnit.SECONDS);
      }
    } finally {
      stop.set(true);
    }
    assertEquals(3, answers.size(), "as many different answers as versions");
  }

  private static long total(Map<ForwardResponse, Long> answers) {
    return answers.values().stream().mapToLong(Long::longValue).sum();
  }

  @Test
  void oldVersionsAreLeftByEverybody() throws Exception {
    for (int version = 1; version <= 3; version++) {
      String before = digest();
      replaceFiles(version);
      loadEverywhere();
      Await.until("the next version is served", () -> !digest().equals(before));
    }
    Await.until(
        "each replica hosts one version",
        () ->
            router.replicas().table().layers().size() == 1
                && experts.servers().stream().allMatch(this::hostsOne));
  }

  private boolean hostsOne(ExpertServer server) {
    ManagedChannel direct = transport.channel("localhost:" + server.port());
    try {
      return ExpertServiceGrpc.newBlockingStub(direct)
              .withDeadlineAfter(30, TimeUnit.SECONDS)
              .describe(DescribeRequest.getDefaultInstance())
              .getLayersCount()
          == 1;
    } finally {
      direct.shutdownNow();
    }
  }

  @Test
  void layersComeAndGo() throws Exception {
    assertEquals(List.of(LAYER), layers());
    LayerFiles.mlp(folder, "second", JSON, 7);
    load("second");
    Await.until("the second layer", () -> layers().equals(List.of(LAYER, "second")));
    assertTrue(forward("second").getOutput().size() > 0);

    for (ExpertServer server : experts.servers()) {
      server.repository().unload("second").get(30, TimeUnit.SECONDS);
    }
    assertTrue(forward("second").getOutput().size() > 0, "the router still uses it");
    router.repository().unload("second").get(30, TimeUnit.SECONDS);
    StatusRuntimeException e = assertThrows(StatusRuntimeException.class, () -> forward("second"));
    assertEquals(Status.Code.NOT_FOUND, e.getStatus().getCode());
    assertTrue(forward(LAYER).getOutput().size() > 0);
  }

  @Test
  void aWatchedFolderIsFollowed() throws Exception {
    Duration interval = Duration.ofMillis(20);
    router.repository().watch(interval);
    experts.servers().forEach(server -> server.repository().watch(interval));
    String before = digest();
    replaceFiles(1);
    Await.until("the new version is served", () -> !digest().equals(before));

    LayerFiles.mlp(elsewhere, "second", JSON, 7);
    Files.move(elsewhere.resolve("second"), folder.resolve("second"));
    Await.until("the second layer", () -> layers().equals(List.of(LAYER, "second")));
    Files.move(folder.resolve("second"), elsewhere.resolve("gone"));
    Await.until("the second layer is gone", () -> layers().equals(List.of(LAYER)));
  }

  @Test
  void wrongFilesLeaveTheLayerAsItIs() throws Exception {
    ForwardResponse first = forward(LAYER);
    Path next = Files.writeString(elsewhere.resolve("layer.json"), "{\"hidden_size\": 0}");
    Files.move(next, folder.resolve(LAYER).resolve("layer.json"), StandardCopyOption.ATOMIC_MOVE);
    for (ExpertServer server : experts.servers()) {
      assertThrows(
          ExecutionException.class,
          () -> server.repository().load(LAYER).get(30, TimeUnit.SECONDS));
    }
    assertThrows(
        ExecutionException.class, () -> router.repository().load(LAYER).get(30, TimeUnit.SECONDS));
    assertEquals(first, forward(LAYER));
  }

  /** A folder is swapped as a whole: what maps the old files keeps them. */
  private void replaceFiles(long seed) throws IOException {
    Path old = elsewhere.resolve("old");
    LayerFiles.mlp(elsewhere, "new", JSON, seed);
    Files.move(folder.resolve(LAYER), old);
    Files.move(elsewhere.resolve("new"), folder.resolve(LAYER));
    try (Stream<Path> files = Files.walk(old)) {
      files.sorted(Comparator.reverseOrder()).forEach(LiveLayersTest::delete);
    }
  }

  private static void delete(Path file) {
    try {
      Files.delete(file);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private void loadEverywhere() throws Exception {
    load(LAYER);
  }

  private void load(String layer) throws Exception {
    router.repository().load(layer).get(30, TimeUnit.SECONDS);
    for (ExpertServer server : experts.servers()) {
      server.repository().load(layer).get(30, TimeUnit.SECONDS);
    }
  }

  private String digest() {
    return client().listLayers(ListLayersRequest.getDefaultInstance()).getLayers(0).getDigest();
  }

  private List<String> layers() {
    return client().listLayers(ListLayersRequest.getDefaultInstance()).getLayersList().stream()
        .map(layer -> layer.getName())
        .toList();
  }

  private ForwardResponse forward(String layer) {
    ForwardRequest request =
        Requests.random(layer, TOKENS, HIDDEN, 1).setReturnRoutes(true).build();
    return client().forward(request);
  }

  private MoeLayerServiceGrpc.MoeLayerServiceBlockingStub client() {
    return MoeLayerServiceGrpc.newBlockingStub(channel).withDeadlineAfter(30, TimeUnit.SECONDS);
  }
}
