package dev.guildhall.router.gate;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.net.URI;
import java.net.URISyntaxException;
import java.net.URL;
import java.nio.file.FileSystem;
import java.nio.file.FileSystems;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Replays DeepSpeed's recorded runs with their own random draws. */
class GoldenGateTest {

  @ParameterizedTest
  @MethodSource("cases")
  void routesAsDeepSpeedDid(String name) {
    GoldenCase golden = GoldenCase.named(name);
    SafetensorsFile file = golden.file();

    Routing routing =
        new Gate(golden.layer())
            .route(
                golden.logits(gateInput(golden)),
                golden.tokens(),
                golden.training(),
                golden.usedTokens(),
                golden.noise());

    assertArrayEquals(file.ints("out.route_expert"), routing.expert());
    assertArrayEquals(file.ints("out.route_slot"), routing.slot());
    assertClose(file.floats("out.route_weight"), routing.weight());
    assertArrayEquals(file.longs("out.exp_counts"), routing.expCounts());
    assertEquals(file.longs("out.capacity")[0], routing.capacity());
    assertClose(file.floats("out.l_aux"), routing.lAux());
  }

  @Test
  void knowsAllCases() throws IOException, URISyntaxException {
    assertEquals(56, cases().size());
  }

  private static float[] gateInput(GoldenCase golden) {
    float[] input = golden.file().floats("hidden_states");
    if (Jitter.applies(golden.layer(), golden.training())) {
      MemorySegment segment = MemorySegment.ofArray(input);
      Jitter.apply(segment, golden.tokens(), golden.layer().hiddenSize(), golden.noise(), segment);
    }
    return input;
  }

  private static void assertClose(float[] expected, float... actual) {
    assertEquals(expected.length, actual.length);
    for (int i = 0; i < expected.length; i++) {
      assertEquals(expected[i], actual[i], 1e-5 + 1e-4 * Math.abs(expected[i]), "element " + i);
    }
  }

  /** The cases' names, whether the fixtures are a folder (mvn test) or a jar (mvn verify). */
  static List<String> cases() throws IOException, URISyntaxException {
    URL folder = Objects.requireNonNull(GoldenGateTest.class.getResource("/golden"));
    URI uri = folder.toURI();
    if (!uri.getScheme().equals("jar")) {
      return names(Path.of(uri));
    }
    try (FileSystem jar = FileSystems.newFileSystem(uri, Map.of())) {
      return names(jar.getPath("/golden"));
    }
  }

  private static List<String> names(Path folder) throws IOException {
    String suffix = ".safetensors";
    try (Stream<Path> files = Files.list(folder)) {
      return files
          .map(file -> file.getFileName().toString())
          .filter(file -> file.endsWith(suffix))
          .map(file -> file.substring(0, file.length() - suffix.length()))
          .sorted()
          .toList();
    }
  }
}
