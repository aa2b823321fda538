package dev.guildhall.cli;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT_UNALIGNED;
import static java.util.Objects.requireNonNull;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.guildhall.proto.Dtype;
import dev.guildhall.proto.ForwardRequest;
import dev.guildhall.proto.ForwardResponse;
import dev.guildhall.repository.LayerRepository;
import dev.guildhall.safetensors.SafetensorsFile;
import dev.guildhall.safetensors.SafetensorsWriter;
import dev.guildhall.safetensors.StoredTensor;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** What is imported is served, whatever its size and type. */
class ImportedModelsTest {
  private static final int LAYERS = 64;
  private static final int EXPERTS = 64;
  private static final int WIDTH = 16;

  @TempDir private Path folder;
  private Imports imports;

  @BeforeEach
  void setUp() {
    imports = new Imports(folder);
  }

  @Test
  void aDeepSpeedCheckpointAnswersAsDeepSpeedDid() throws Exception {
    Run run =
        imports.run(
            Imports.DEEPSPEED,
            Stream.concat(Stream.of("--name=digits"), Imports.DIGITS_ARGUMENTS.stream())
                .toArray(String[]::new));
    assertEquals(0, run.exitCode(), run.err());
    assertAnswers("digits/moe");
  }

  @Test
  void aStateDictInSafetensorsAnswersAsDeepSpeedDid() throws Exception {
    Run run =
        imports.run(
            Digits.REPOSITORY.resolve("digits/model.safetensors"),
            Stream.concat(Stream.of("--link"), Imports.DIGITS_ARGUMENTS.stream())
                .toArray(String[]::new));
    assertEquals(0, run.exitCode(), run.err());
    assertAnswers("model/moe");
  }

  private void assertAnswers(String layer) throws Exception {
    try (ServedSystem system = ServedSystem.start(LayerRepository.open(imports.repository()))) {
      Path output = folder.resolve("output.safetensors");
      Run run =
          Run.of(
              "infer",
              "--target=localhost:" + system.port(),
              "--layer=" + layer,
              "--input=" + Digits.HELD_OUT,
              "--output=" + output);
      assertEquals(0, run.exitCode(), run.err());
      try (SafetensorsFile expected = SafetensorsFile.open(Digits.HELD_OUT);
          SafetensorsFile actual = SafetensorsFile.open(output)) {
        float[] right = floats(expected, "moe_output");
        float[] left = floats(actual, "output");
        for (int i = 0; i < right.length; i++) {
          assertEquals(right[i], left[i], 1e-4);
        }
      }
    }
  }

  private static float[] floats(SafetensorsFile file, String tensor) {
    return file.tensor(tensor).data().toArray(JAVA_FLOAT_UNALIGNED);
  }

  /** Bigger than any machine's memory that this runs on; all of it zeros. */
  @Test
  void aCheckpointLargerThanMemoryIsMapped() throws Exception {
    Path model = Files.createDirectory(folder.resolve("large"));
    Files.copy(Imports.MODELS.resolve("olmoe/config.json"), model.resolve("config.json"));
    Map<String, List<Long>> shapes = new LinkedHashMap<>();
    try (SafetensorsFile small =
        SafetensorsFile.open(Imports.MODELS.resolve("olmoe/model.safetensors"))) {
      small.tensors().forEach((name, tensor) -> shapes.put(name, tensor.shape()));
    }
    SparseSafetensors.write(model.resolve("model.safetensors"), shapes, 1L << 40);
    imports.assertImported(model, "--link", "--name=link");
    imports.assertImported(model, "--name=copy");
    try (ServedSystem system = ServedSystem.start(LayerRepository.open(imports.repository()))) {
      for (String name : List.of("link/layer_0", "copy/layer_0")) {
        assertArrayEquals(
            new float[32],
            Tensors.floats(forward(system, name, Tensors.random(1, 32)).getOutput()));
      }
    }
  }

  /** An expert of 2 GiB, and processes that have no room for it. */
  @Test
  void memoryIsThatOfTheRanksOwnExperts() throws Exception {
    Path file = folder.resolve("uneven.safetensors");
    SparseSafetensors.write(file, unevenExperts(), 0);
    Path model = imports.repository().resolve("uneven");
    try (CommandProcess imported =
        limited("import", file.toString(), "--k=1", "--link", "--output=" + imports.repository())) {
      Await.until(
          "the import is done",
          () -> {
            assertTrue(anonymousMib(imported.pid()) < 400, "the import takes memory");
            return Files.exists(model);
          });
    }
    try (CommandProcess expert =
        limited(
            "expert",
            "--repository=" + imports.repository(),
            "--ep-rank=0",
            "--ep-size=2",
            "--port=0",
            "--metrics-port=0")) {
      var _ = expert.port("grpc"); // It is ready.
      assertTrue(anonymousMib(expert.pid()) < 400, "another rank's expert is in memory");
    }
  }

  private CommandProcess limited(String... arguments) throws IOException {
    return CommandProcess.start(folder, List.of(), List.of("-Xmx128m"), List.of(arguments));
  }

  /** The first is small. */
  private static Map<String, List<Long>> unevenExperts() {
    long hidden = 1024;
    Map<String, List<Long>> shapes = new LinkedHashMap<>();
    shapes.put("moe.deepspeed_moe.gate.wg.weight", List.of(2L, hidden));
    for (int expert = 0; expert < 2; expert++) {
      long ffn = expert == 0 ? 16 : 1 << 18;
      String name = "moe.deepspeed_moe.experts.deepspeed_experts." + expert;
      shapes.put(name + ".fc1.weight", List.of(ffn, hidden));
      shapes.put(name + ".fc2.weight", List.of(hidden, ffn));
    }
    return shapes;
  }

  /** What a process holds beside mapped files; 0 when it has ended. */
  private static long anonymousMib(long pid) {
    try (Stream<String> lines = Files.lines(Path.of("/proc/" + pid + "/status"))) {
      return lines
          .filter(line -> line.startsWith("RssAnon:"))
          .mapToLong(line -> Long.parseLong(line.replaceAll("[^0-9]", "")) / 1024)
          .sum();
    } catch (IOException | UncheckedIOException e) {
      return 0;
    }
  }

  /** [1, H] through a layer. */
  private static ForwardResponse forward(ServedSystem system, String layer, float[] token) {
    return system
        .client()
        .forward(
            ForwardRequest.newBuilder()
                .setLayer(layer)
                .setDtype(Dtype.DTYPE_FP32)
                .addShape(1)
                .addShape(token.length)
                .setHiddenStates(Tensors.bytes(token))
                .build());
  }

  @ParameterizedTest
  @CsvSource({"bf16,1e-2", "int8,3e-2", "int4,4e-1"})
  void fewerBitsAreServed(String dtype, double atMost) throws Exception {
    Path model = Imports.MODELS.resolve("qwen2_moe");
    imports.assertImported(model, "--name=exact");
    imports.assertImported(model, "--name=reduced", "--dtype", dtype);
    try (ServedSystem system = ServedSystem.start(LayerRepository.open(imports.repository()))) {
      double difference = 0;
      double size = 0;
      for (int token = 0; token < 8; token++) {
        float[] row = Tensors.random(token, 32);
        float[] exact = Tensors.floats(forward(system, "exact/layer_0", row).getOutput());
        float[] reduced = Tensors.floats(forward(system, "reduced/layer_0", row).getOutput());
        for (int i = 0; i < exact.length; i++) {
          difference += Math.pow(exact[i] - reduced[i], 2);
          size += Math.pow(exact[i], 2);
        }
      }
      double relative = Math.sqrt(difference / size);
      assertTrue(relative > 0 && relative < atMost, "relative error " + relative);
    }
  }

  /** No thread an expert, and every layer is itself. */
  @Test
  void aModelOfManyLayersIsServed() throws Exception {
    Path model = Files.createDirectory(folder.resolve("many"));
    Files.writeString(
        model.resolve("config.json"),
        """
        {"model_type": "mixtral", "hidden_size": %d, "num_local_experts": %d,
         "num_experts_per_tok": 1, "num_hidden_layers": %d}
        """
            .formatted(WIDTH, EXPERTS, LAYERS));
    Map<String, StoredTensor> tensors = new LinkedHashMap<>();
    for (int layer = 0; layer < LAYERS; layer++) {
      String block = "model.layers.%d.block_sparse_moe.".formatted(layer);
      tensors.put(block + "gate.weight", random(tensors.size(), EXPERTS));
      for (int expert = 0; expert < EXPERTS; expert++) {
        for (String map : List.of("w1", "w2", "w3")) {
          tensors.put(
              block + "experts." + expert + "." + map + ".weight", random(tensors.size(), WIDTH));
        }
      }
    }
    SafetensorsWriter.write(model.resolve("model.safetensors"), tensors, Map.of());
    imports.assertImported(model, "--link");
    long before = threads();
    try (ServedSystem system = ServedSystem.start(LayerRepository.open(imports.repository()))) {
      long more = threads() - before;
      assertTrue(more < EXPERTS, "threads: " + more);
      for (int layer : List.of(0, 17, LAYERS - 1)) {
        float[] token = Tensors.random(layer, WIDTH);
        Tensors.assertClose(
            mixtral(tensors, "model.layers.%d.block_sparse_moe.".formatted(layer), token),
            Tensors.floats(forward(system, "many/layer_" + layer, token).getOutput()),
            1e-4);
      }
    }
  }

  private static StoredTensor random(int seed, int rows) {
    return Tensors.fp32(Tensors.random(seed, rows * WIDTH), rows, WIDTH);
  }

  /** Of this process, those of native libraries too. */
  private static long threads() throws IOException {
    try (Stream<Path> threads = Files.list(Path.of("/proc/self/task"))) {
      return threads.count();
    }
  }

  /** What a block answers whose gate chooses one expert: its weight is 1. */
  private static float[] mixtral(Map<String, StoredTensor> tensors, String block, float[] token) {
    float[] logits = times(tensors.get(block + "gate.weight"), token);
    int best = 0;
    for (int e = 1; e < logits.length; e++) {
      best = logits[e] > logits[best] ? e : best;
    }
    String expert = block + "experts." + best + ".";
    float[] inner = times(tensors.get(expert + "w1.weight"), token);
    float[] up = times(tensors.get(expert + "w3.weight"), token);
    for (int i = 0; i < inner.length; i++) {
      inner[i] = (float) (inner[i] / (1 + Math.exp(-inner[i]))) * up[i];
    }
    return times(tensors.get(expert + "w2.weight"), inner);
  }

  private static float[] times(@Nullable StoredTensor matrix, float[] vector) {
    float[] weights = requireNonNull(matrix).data().toArray(JAVA_FLOAT_UNALIGNED);
    float[] product = new float[weights.length / vector.length];
    for (int i = 0; i < weights.length; i++) {
      product[i / vector.length] += weights[i] * vector[i % vector.length];
    }
    return product;
  }
}
