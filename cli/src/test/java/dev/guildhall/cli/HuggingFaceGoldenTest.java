package dev.guildhall.cli;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT_UNALIGNED;
import static java.lang.foreign.ValueLayout.JAVA_LONG_UNALIGNED;
import static java.util.Objects.requireNonNull;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;

import dev.guildhall.repository.Layer;
import dev.guildhall.repository.LayerRepository;
import dev.guildhall.repository.MissingExperts;
import dev.guildhall.router.admission.Caller;
import dev.guildhall.router.forward.ForwardJob;
import dev.guildhall.router.forward.ForwardResult;
import dev.guildhall.router.gate.Routing;
import dev.guildhall.router.gate.SeededNoise;
import dev.guildhall.router.gate.UsedTokens;
import dev.guildhall.rpc.Buffers;
import dev.guildhall.rpc.Transport;
import dev.guildhall.safetensors.SafetensorsFile;
import dev.guildhall.safetensors.StoredTensor;
import dev.guildhall.tracing.RequestTrace;
import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import io.netty.buffer.ByteBuf;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
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
 * by two expert services, with what transformers computed: every folder of a folder, the project's
 * own or that of {@code -Dhf.golden.dir=DIR} (relative to the project's root).
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
    try (SafetensorsFile recorded = SafetensorsFile.open(source.resolve("io.safetensors"));
        Transport transport = new Transport(1, 64 << 20);
        ExpertFleet experts =
            ExpertFleet.start(layers, ExpertFleet.ranks(2), transport, new SimpleMeterRegistry())) {
      assertEquals(recorded.tensors().size(), 5 * layers.layers().size(), "layers");
      for (Layer layer : layers.layers()) {
        try (RouterRooms router = RouterRooms.open(layer, transport)) {
          router.connect(experts.targets());
          assertAnswers(recorded, layer, router);
        }
      }
    }
  }

  private static void assertAnswers(SafetensorsFile recorded, Layer layer, RouterRooms router)
      throws Exception {
    String prefix = layer.name().replaceFirst(".*/layer_", "layer.") + ".";
    StoredTensor hiddenStates = recorded.tensor(prefix + "hidden_states");
    int tokens = (int) hiddenStates.elements() / layer.config().hiddenSize();
    ByteBuf copy = Buffers.allocate(Math.toIntExact(hiddenStates.data().byteSize()));
    Buffers.segment(copy).copyFrom(hiddenStates.data());
    ForwardResult result =
        router
            .start(
                new ForwardJob(
                    Caller.ANYONE,
                    router.layer(),
                    tokens,
                    copy,
                    false,
                    UsedTokens.ALL,
                    new SeededNoise(1),
                    MissingExperts.FAIL,
                    System.nanoTime() + TimeUnit.SECONDS.toNanos(30),
                    RequestTrace.NONE))
            .get(30, TimeUnit.SECONDS);
    try {
      assertEquals(0, result.routing().droppedRoutes());
      assertRoutes(recorded, prefix, result.routing());
      float[] output = Buffers.segment(result.output()).toArray(JAVA_FLOAT_UNALIGNED);
      float[] expected = floats(recorded, prefix + "output");
      assertEquals(expected.length, output.length);
      for (int i = 0; i < output.length; i++) {
        assertClose("output " + i, expected[i], output[i]);
      }
    } finally {
      result.output().release();
    }
  }

  /** The order of a token's experts is free. */
  private static void assertRoutes(SafetensorsFile recorded, String prefix, Routing routing) {
    long[] index = recorded.tensor(prefix + "top_k_index").data().toArray(JAVA_LONG_UNALIGNED);
    float[] weight = floats(recorded, prefix + "top_k_weight");
    for (int t = 0; t < routing.tokens(); t++) {
      Map<Long, Float> expected = new TreeMap<>();
      Map<Long, Float> actual = new TreeMap<>();
      for (int j = 0; j < routing.k(); j++) {
        expected.put(index[t * routing.k() + j], weight[t * routing.k() + j]);
        int route = j * routing.tokens() + t;
        actual.put((long) routing.expert()[route], routing.weight()[route]);
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
