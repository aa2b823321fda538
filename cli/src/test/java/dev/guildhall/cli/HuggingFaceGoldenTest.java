package dev.guildhall.cli;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT_UNALIGNED;
import static java.lang.foreign.ValueLayout.JAVA_LONG_UNALIGNED;
import static java.util.Objects.requireNonNull;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;

import dev.guildhall.client.RouterClient;
import dev.guildhall.proto.ForwardResponse;
import dev.guildhall.proto.Routes;
import dev.guildhall.repository.Layer;
import dev.guildhall.repository.LayerRepository;
import dev.guildhall.router.RouterServer;
import dev.guildhall.rpc.Transport;
import dev.guildhall.safetensors.SafetensorsFile;
import io.grpc.ManagedChannel;
import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Imports models laid out as they are published and compares what their MoE blocks answer, served
 * by a router and two expert services, with what transformers computed: every folder of a folder,
 * the project's own or that of {@code -Dhf.golden.dir=DIR} (relative to the project's root).
 */
class HuggingFaceGoldenTest {
  @TempDir private Path repository;

  @ParameterizedTest
  @MethodSource("models")
  void answersAsTransformersDid(String model) throws Exception {
    Path source = folder().resolve(model);
    Run imported = Run.of("import", source.toString(), "--output", repository.toString());
    assertEquals(0, imported.exitCode(), imported.err());
    LayerRepository layers = LayerRepository.open(repository);
    SimpleMeterRegistry registry = new SimpleMeterRegistry();
    try (SafetensorsFile recorded = SafetensorsFile.open(source.resolve("io.safetensors"));
        Transport transport = new Transport(1, 64 << 20);
        ExpertFleet experts = ExpertFleet.start(layers, ExpertFleet.ranks(2), transport, registry);
        RouterServer router =
            RouterServer.start(
                ServedSystem.options(experts.targets()),
                layers,
                transport,
                transport::channel,
                registry)) {
      router.ready().get(30, TimeUnit.SECONDS);
      assertEquals(recorded.tensors().size(), 5 * layers.layers().size(), "layers");
      for (Layer layer : layers.layers()) {
        String prefix = layer.name().replaceFirst(".*/layer_", "layer.") + ".";
        ForwardResponse answer =
            forward(transport, router.port(), layer, floats(recorded, prefix + "hidden_states"));
        assertClose(floats(recorded, prefix + "output"), Tensors.floats(answer.getOutput()));
        assertEquals(0, answer.getDroppedRoutes());
        assertRoutes(recorded, prefix, layer.config().k(), answer.getRoutes());
      }
    }
  }

  private static ForwardResponse forward(
      Transport transport, int port, Layer layer, float[] hiddenStates) {
    ManagedChannel channel = transport.channel("localhost:" + port);
    try {
      int hiddenSize = layer.config().hiddenSize();
      int tokens = hiddenStates.length / hiddenSize;
      return new RouterClient(channel, Duration.ofSeconds(30))
          .forward(
              Requests.of(layer.name(), hiddenStates, tokens, hiddenSize)
                  .setReturnRoutes(true)
                  .build());
    } finally {
      channel.shutdownNow();
    }
  }

  /** The order of a token's experts is free. */
  private static void assertRoutes(SafetensorsFile recorded, String prefix, int k, Routes routes) {
    long[] index = recorded.tensor(prefix + "top_k_index").data().toArray(JAVA_LONG_UNALIGNED);
    float[] weight = floats(recorded, prefix + "top_k_weight");
    assertEquals(index.length, routes.getExpertCount());
    int tokens = index.length / k;
    for (int t = 0; t < tokens; t++) {
      Map<Long, Float> expected = new TreeMap<>();
      Map<Long, Float> actual = new TreeMap<>();
      for (int j = 0; j < k; j++) {
        expected.put(index[t * k + j], weight[t * k + j]);
        int route = j * tokens + t;
        actual.put((long) routes.getExpert(route), routes.getWeight(route));
      }
      assertEquals(expected.keySet(), actual.keySet(), "experts of token " + t);
      String what = "weight of token " + t + ", expert ";
      expected.forEach(
          (expert, right) -> assertClose(what + expert, right, requireNonNull(actual.get(expert))));
    }
  }

  private static float[] floats(SafetensorsFile file, String tensor) {
    return file.tensor(tensor).data().toArray(JAVA_FLOAT_UNALIGNED);
  }

  private static void assertClose(float[] expected, float[] actual) {
    assertEquals(expected.length, actual.length);
    for (int i = 0; i < expected.length; i++) {
      assertClose("output " + i, expected[i], actual[i]);
    }
  }

  private static void assertClose(String what, float expected, float actual) {
    assertEquals(expected, actual, 1e-4 + 1e-3 * Math.abs(expected), what);
  }

  @Test
  void findsModels() throws IOException {
    assertFalse(models().isEmpty(), "no model in " + folder());
    if (System.getProperty("hf.golden.dir") == null) {
      assertEquals(8, models().size());
    }
  }

  private static Path folder() {
    Path home = Path.of(System.getProperty("guildhall.home", ".."));
    return home.resolve(
        System.getProperty("hf.golden.dir", "checkpoint/src/test/resources/huggingface"));
  }

  static List<String> models() throws IOException {
    try (Stream<Path> all = Files.list(folder())) {
      return all.filter(Files::isDirectory)
          .map(model -> model.getFileName().toString())
          .sorted()
          .toList();
    }
  }
}
