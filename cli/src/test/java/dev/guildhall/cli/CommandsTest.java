package dev.guildhall.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import dev.guildhall.repository.LayerRepository;
import dev.guildhall.safetensors.SafetensorsWriter;
import dev.guildhall.safetensors.StoredTensor;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import picocli.CommandLine;

/** The commands that end by themselves, run in this process. */
class CommandsTest {
  @TempDir private Path folder;

  @Test
  void everyOptionHasAnEnvironmentVariable() {
    assertEquals("GUILDHALL_METRICS_PORT", EnvironmentDefaults.variable("--metrics-port"));
    CommandLine command =
        Guildhall.commandLine()
            .setDefaultValueProvider(
                new EnvironmentDefaults(
                    Map.of("GUILDHALL_REPOSITORY", Digits.REPOSITORY.toString())));
    Run run = Run.of(command, "layers");
    assertEquals(0, run.exitCode(), run.err());
    assertTrue(run.out().contains("digits"), run.out());
  }

  @Test
  void aFlagWinsOverItsEnvironmentVariable() {
    CommandLine command =
        Guildhall.commandLine()
            .setDefaultValueProvider(
                new EnvironmentDefaults(Map.of("GUILDHALL_REPOSITORY", "no-such-folder")));
    Run run = Run.of(command, "layers", "--repository", Digits.REPOSITORY.toString());
    assertEquals(0, run.exitCode(), run.err());
  }

  @Test
  void aSwitchMayBeSetByVariableAndFlagAtOnce() {
    for (String[] flags : new String[][] {{}, {"--json"}}) {
      CommandLine command =
          Guildhall.commandLine()
              .setDefaultValueProvider(
                  new EnvironmentDefaults(
                      Map.of(
                          "GUILDHALL_JSON",
                          "true",
                          "GUILDHALL_REPOSITORY",
                          Digits.REPOSITORY.toString())));
      String[] arguments =
          Stream.concat(Stream.of("layers"), Stream.of(flags)).toArray(String[]::new);
      assertTrue(Run.of(command, arguments).out().startsWith("{"), String.join(" ", arguments));
    }
  }

  @Test
  void argumentsThatAreNotOptionsHaveNoDefault() throws Exception {
    assertNull(
        new EnvironmentDefaults(Map.of())
            .defaultValue(CommandLine.Model.PositionalParamSpec.builder().build()));
  }

  @Test
  void layersPrintsATable() {
    Run run = Run.of("layers", "--repository", Digits.REPOSITORY.toString());
    assertEquals(0, run.exitCode(), run.err());
    assertEquals(
        List.of("LAYER  HIDDEN_SIZE EXPERTS  K RESIDUAL", "digits         128       8  2      yes"),
        run.out().lines().toList());
  }

  @Test
  void layersPrintsJson() {
    Run run = Run.of("layers", "--repository", Digits.REPOSITORY.toString(), "--json");
    assertEquals(
        JsonParser.parseString(
            """
            {"layers": [{"name": "digits", "hidden_size": 128, "num_experts": 8, "k": 2,
             "use_residual": true}]}
            """),
        JsonParser.parseString(run.out()));
  }

  @Test
  void layersAsksARunningRouter() throws Exception {
    try (ServedSystem system = ServedSystem.start(Digits.repository())) {
      Run table = Run.of("layers", "--target", "localhost:" + system.port());
      assertEquals(
          "digits         128       8  2      yes yes", table.out().lines().toList().getLast());
      Run json = Run.of("layers", "--target", "localhost:" + system.port(), "--json");
      assertTrue(
          JsonParser.parseString(json.out())
              .getAsJsonObject()
              .getAsJsonArray("layers")
              .get(0)
              .getAsJsonObject()
              .get("ready")
              .getAsBoolean(),
          json.out());
    }
  }

  @Test
  void healthTellsWhetherAServerServes() throws Exception {
    String target;
    try (ServedSystem system = ServedSystem.start(Digits.repository())) {
      target = "localhost:" + system.port();
      Run serving = Run.of("health", "--target", target);
      assertEquals("SERVING", serving.out().strip());
      assertEquals(0, serving.exitCode());
    }
    assertEquals(1, Run.of("health", "--target", target).exitCode());
  }

  @Test
  void layersNeedsExactlyOneSource() {
    assertEquals(2, Run.of("layers").exitCode());
    assertEquals(2, Run.of("layers", "--repository", ".", "--target", "localhost:1").exitCode());
  }

  @Test
  void inferKeepsTokensOutThatTheFileMasks() throws Exception {
    LayerFiles.mlp(folder.resolve("layers"), "small", "{\"hidden_size\": 8, \"num_experts\": 2}");
    Path input = folder.resolve("input.safetensors");
    Path output = folder.resolve("output.safetensors");
    Map<String, StoredTensor> tensors =
        Map.of(
            "hidden_states",
            Tensors.fp32(Tensors.random(1, 2 * 2 * 8), 2, 2, 8),
            "used_token",
            Tensors.int64(1, 0, 1, 1));
    SafetensorsWriter.write(input, tensors, Map.of());
    try (ServedSystem system = ServedSystem.start(LayerRepository.open(folder.resolve("layers")))) {
      Run run =
          Run.of(
              "infer",
              "--target=localhost:" + system.port(),
              "--layer=small",
              "--input=" + input,
              "--output=" + output,
              "--seed=3",
              "--json");
      assertEquals(0, run.exitCode(), run.err());
      JsonObject json = JsonParser.parseString(run.out()).getAsJsonObject();
      assertEquals(output.toString(), json.get("output").getAsString());
      long[] counts = Tensors.longs(output, "exp_counts");
      assertEquals(3, counts[0] + counts[1]);
      float[] values = Tensors.floats(output, "output");
      assertEquals(2 * 2 * 8, values.length);
      for (int d = 0; d < 8; d++) {
        assertEquals(0f, values[8 + d]);
      }
    }
  }

  @Test
  void inferSaysWhatIsWrong() throws Exception {
    Path input = folder.resolve("input.safetensors");
    SafetensorsWriter.write(input, Map.of("hidden_states", Tensors.int64(1, 2)), Map.of());
    try (ServedSystem system = ServedSystem.start(Digits.repository())) {
      String target = "--target=localhost:" + system.port();
      String out = "--output=" + folder.resolve("output.safetensors");
      Run wrongDtype = Run.of("infer", target, "--layer=digits", "--input=" + input, out);
      assertFails(wrongDtype, "dtype is INT64; allowed is FP32, FP16 or BF16");
      Run unknown = Run.of("infer", target, "--layer=pear", "--input=" + Digits.HELD_OUT, out);
      assertFails(unknown, "layer is \"pear\"; there are: digits");
      Run noFile = Run.of("infer", target, "--layer=digits", "--input=no-such-file", out);
      assertFails(noFile, "no-such-file");
    }
  }

  private static void assertFails(Run run, String message) {
    assertEquals(1, run.exitCode());
    assertEquals("", run.out());
    assertEquals(1, run.err().lines().count(), run.err());
    assertTrue(run.err().contains(message), run.err());
  }
}
