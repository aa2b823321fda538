package dev.guildhall.cli;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.util.Objects.requireNonNull;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import dev.guildhall.error.GuildhallException;
import dev.guildhall.repository.Layer;
import dev.guildhall.repository.LayerRepository;
import dev.guildhall.repository.LayerVersion;
import dev.guildhall.safetensors.StoredTensor;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class ImportCommandTest {
  @TempDir private Path folder;
  private Imports imports;

  @BeforeEach
  void setUp() {
    imports = new Imports(folder);
  }

  @Test
  void printsWhatItMade() {
    Run run = imports.run(Imports.MODELS.resolve("mixtral"));
    assertEquals(0, run.exitCode(), run.err());
    assertEquals(
        """
        LAYER           HIDDEN_SIZE EXPERTS  K        MIB  ERROR
        mixtral/layer_0          32       8  2        0.1  none
        mixtral/layer_1          32       8  2        0.1  none
        """,
        run.out());
  }

  @Test
  void importsTheBlocksThatAreAskedForUnderAnotherName() {
    Run run = imports.run(Imports.MODELS.resolve("mixtral"), "--layers", "layer_1", "--name", "m");
    assertEquals(0, run.exitCode(), run.err());
    assertEquals(
        List.of("m/layer_1"),
        LayerRepository.open(imports.repository()).layers().stream().map(Layer::name).toList());
    Run wrong =
        imports.run(Imports.MODELS.resolve("mixtral"), "--layers", "layer_2", "--name", "n");
    assertTrue(
        wrong.err().contains("--layers names \"layer_2\"; the checkpoint has layer_0, layer_1"),
        wrong.err());
  }

  @Test
  void needsNoFilesOfOtherBlocks() throws IOException {
    Path model = imports.copyOf("mixtral");
    Files.delete(model.resolve("model-00002-of-00002.safetensors"));
    imports.assertImported(model, "--layers=layer_0");
  }

  @Test
  void leavesAModelThatIsThereAlone() {
    assertEquals(0, imports.run(Imports.MODELS.resolve("olmoe")).exitCode());
    Run again = imports.run(Imports.MODELS.resolve("olmoe"));
    assertEquals(1, again.exitCode());
    assertTrue(again.err().contains("olmoe is there already"), again.err());
    assertEquals(1, LayerRepository.open(imports.repository()).layers().size());
  }

  @ParameterizedTest
  @CsvSource({"bf16,1e-2", "fp16,1e-3", "int8,2e-2", "int4,3e-1"})
  void tellsTheErrorOfFewerBits(String dtype, double atMost) {
    Run run = imports.run(Imports.MODELS.resolve("olmoe"), "--dtype", dtype, "--json");
    assertEquals(0, run.exitCode(), run.err());
    JsonObject layer =
        JsonParser.parseString(run.out())
            .getAsJsonObject()
            .getAsJsonArray("layers")
            .get(0)
            .getAsJsonObject();
    double error = layer.get("relative_error").getAsDouble();
    assertTrue(error > 0 && error < atMost, run.out());
  }

  @Test
  void linksAreTheSameLayersWithoutCopies() throws IOException {
    imports.assertImported(Imports.MODELS.resolve("mixtral"));
    imports.assertImported(Imports.MODELS.resolve("mixtral"), "--link", "--name", "linked");
    assertEquals(4, LayerRepository.open(imports.repository()).layers().size());
    Path linked = imports.repository().resolve("linked/layer_1");
    assertTrue(Files.isSymbolicLink(linked.resolve("model-00002-of-00002.safetensors")));
    assertEquals(
        Files.readString(imports.repository().resolve("mixtral/layer_1/tensors.sha256")),
        Files.readString(linked.resolve("tensors.sha256")));
  }

  /** Of files that are linked to, only what is the layer's counts. */
  @Test
  void whatChangesAfterwardsIsFound() throws IOException {
    imports.assertImported(Imports.MODELS.resolve("mixtral"), "--link");
    Layer layer = LayerRepository.open(imports.repository()).layers().getLast();
    String before = LayerVersion.of(layer).digest();
    change(layer, "model.layers.0.self_attn.q_proj.weight");
    assertEquals(before, LayerVersion.of(layer).digest());
    change(layer, "model.layers.1.block_sparse_moe.experts.3.w2.weight");
    GuildhallException refused =
        assertThrows(GuildhallException.class, () -> LayerVersion.of(layer));
    assertTrue(
        refused.getMessage().contains("experts.3.w2.weight\" is not the one that tensors.sha256"),
        refused.getMessage());
    Files.delete(layer.folder().resolve("tensors.sha256"));
    assertNotEquals(before, LayerVersion.of(layer).digest());
  }

  /** Puts a changed copy in the link's place; the file it points to is left alone. */
  private void change(Layer layer, String tensor) throws IOException {
    Path link = layer.folder().resolve("model-00002-of-00002.safetensors");
    imports.rewrite(
        link,
        link,
        tensors -> {
          StoredTensor old = requireNonNull(tensors.get(tensor));
          byte[] bytes = old.data().toArray(JAVA_BYTE);
          bytes[0]++;
          tensors.put(
              tensor, new StoredTensor(old.dtype(), old.shape(), MemorySegment.ofArray(bytes)));
        });
  }

  @Test
  void theSingleFileGoesBeforeAnIndexBesideIt() throws IOException {
    Path model = imports.copyOf("olmoe");
    Files.writeString(
        model.resolve("model.safetensors.index.json"), "{\"weight_map\": {\"a\": \"gone\"}}");
    imports.assertImported(model);
  }

  @Test
  void modulesThatWereCompiledHaveTheirNames() throws IOException {
    Path compiled = folder.resolve("compiled.safetensors");
    imports.rewrite(
        Imports.STATE_DICT,
        compiled,
        tensors -> {
          Map<String, StoredTensor> old = Map.copyOf(tensors);
          tensors.clear();
          old.forEach((name, tensor) -> tensors.put("_orig_mod." + name, tensor));
        });
    Run run = imports.run(compiled, "--k=2");
    assertEquals(0, run.exitCode(), run.err());
    assertTrue(run.out().contains("compiled/moe "), run.out());
  }

  @Test
  void saysWhichOfTwoSquareMapsIsTakenToBeTheFirst() throws IOException {
    Path square = folder.resolve("square.safetensors");
    imports.rewrite(
        Imports.STATE_DICT,
        square,
        tensors -> {
          StoredTensor gate = requireNonNull(tensors.get("moe.deepspeed_moe.gate.wg.weight"));
          tensors.clear();
          tensors.put("moe.deepspeed_moe.gate.wg.weight", gate);
          int width = gate.shape().getLast().intValue();
          for (int expert = 0; expert < gate.shape().getFirst(); expert++) {
            for (String map : List.of("inner", "outer")) {
              tensors.put(
                  "moe.deepspeed_moe.experts.deepspeed_experts.%d.%s.weight".formatted(expert, map),
                  Tensors.fp32(new float[width * width], width, width));
            }
          }
        });
    Run run = imports.run(square, "--k=2");
    assertEquals(0, run.exitCode(), run.err());
    assertTrue(run.err().contains("\"inner\" is taken to be the first"), run.err());
  }

  /** What it had written is gone, and so is the repository that it had made. */
  @Test
  void anImportThatIsToldToEndLeavesNothing() throws Exception {
    Path model = Files.createDirectory(folder.resolve("slow"));
    Files.writeString(
        model.resolve("config.json"),
        """
        {"model_type": "mixtral", "hidden_size": 1024, "num_local_experts": 16,
         "num_experts_per_tok": 2, "num_hidden_layers": 1}
        """);
    Map<String, List<Long>> shapes = new LinkedHashMap<>();
    String block = "model.layers.0.block_sparse_moe.";
    shapes.put(block + "gate.weight", List.of(16L, 1024L));
    for (int expert = 0; expert < 16; expert++) {
      shapes.put(block + "experts." + expert + ".w1.weight", List.of(16384L, 1024L));
      shapes.put(block + "experts." + expert + ".w2.weight", List.of(1024L, 16384L));
      shapes.put(block + "experts." + expert + ".w3.weight", List.of(16384L, 1024L));
    }
    SparseSafetensors.write(model.resolve("model.safetensors"), shapes, 0);
    try (CommandProcess command = CommandProcess.start(folder, imports.arguments(model))) {
      Await.until("it writes", () -> Files.exists(imports.repository()));
      command.terminate();
      assertEquals(128 + 15, command.exitCode(), command.err());
    }
    assertFalse(Files.exists(imports.repository()), "something was left");
  }

  @Test
  void saysWhatADeepSpeedCheckpointDoesNotTell() throws IOException {
    imports.assertRefused("give --k", imports.run(Imports.DEEPSPEED));
    Run run = imports.run(Imports.DEEPSPEED, "--k=2");
    assertEquals(0, run.exitCode(), run.err());
    for (String taken :
        List.of(
            "--eval-capacity-factor 1.0",
            "--drop-tokens true",
            "--top2-2nd-expert-sampling true",
            "--activation relu")) {
      assertTrue(run.err().contains(taken), run.err());
    }
  }

  @Test
  void saysNothingOfWhatItIsTold() throws IOException {
    Run run =
        imports.run(
            Imports.DEEPSPEED,
            Stream.concat(
                    Imports.DIGITS_ARGUMENTS.stream(),
                    Stream.of(
                        "--min-capacity=4",
                        "--noisy-gate-policy=None",
                        "--drop-tokens=true",
                        "--use-rts=true"))
                .toArray(String[]::new));
    assertEquals(0, run.exitCode(), run.err());
    assertFalse(run.err().contains("note:"), run.err());
  }
}
