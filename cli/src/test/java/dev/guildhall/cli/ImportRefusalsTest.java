package dev.guildhall.cli;

import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static java.util.Objects.requireNonNull;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.guildhall.safetensors.SafetensorsFile;
import dev.guildhall.safetensors.StoredTensor;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import java.util.zip.CRC32;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** What is no right checkpoint: each is told, and nothing is written. */
class ImportRefusalsTest {
  @TempDir private Path folder;
  private Imports imports;

  @BeforeEach
  void setUp() {
    imports = new Imports(folder);
  }

  @Test
  void refusesAModelsNameThatLeavesTheRepository() throws IOException {
    imports.assertRefused(
        "the folder's name is \"../olmoe\"; allowed are letters, digits",
        imports.run(Imports.MODELS.resolve("olmoe"), "--name", "../olmoe"));
    imports.assertRefused(
        "--name gives the model another one",
        imports.run(Files.move(imports.copyOf("olmoe"), folder.resolve("my model"))));
  }

  @ParameterizedTest
  @ValueSource(strings = {"../../escaped", "a/b"})
  void refusesBlocksWhoseNamesAreNoneForFolders(String prefix) throws IOException {
    Path odd = folder.resolve("odd.safetensors");
    imports.rewrite(
        Imports.STATE_DICT,
        odd,
        tensors -> {
          Map<String, StoredTensor> old = Map.copyOf(tensors);
          tensors.clear();
          old.forEach((name, tensor) -> tensors.put(name.replaceFirst("^moe", prefix), tensor));
        });
    imports.assertRefused("the folder's name is \"" + prefix + "\"", imports.run(odd, "--k=2"));
    assertFalse(Files.exists(folder.resolve("../escaped")));
  }

  @ParameterizedTest
  @CsvSource({
    "experts.deepspeed_experts.3.norm.weight,would not be computed with",
    "experts.deepspeed_experts.0.fc3.weight,allowed are two linear maps"
  })
  void refusesExpertsOfOtherArchitectures(String tensor, String message) throws IOException {
    Path odd = folder.resolve("odd.safetensors");
    imports.rewrite(
        Imports.STATE_DICT,
        odd,
        tensors ->
            tensors.put("moe.deepspeed_moe." + tensor, Tensors.fp32(new float[128], 1, 128)));
    imports.assertRefused(message, imports.run(odd, "--k=2"));
  }

  @Test
  void refusesTensorsThatTheFamilyDoesNotHave() throws IOException {
    Path model = imports.copyOf("olmoe");
    Path file = model.resolve("model.safetensors");
    String odd = "model.layers.0.mlp.experts.7.down_proj.lora_A";
    imports.rewrite(file, file, tensors -> tensors.put(odd, Tensors.fp32(new float[4], 2, 2)));
    imports.assertRefused(
        "1 of the checkpoint's tensors would not be computed with: " + odd, imports.run(model));
  }

  /** The index tells which is meant, but a layer of linked files has no index. */
  @Test
  void refusesTensorsThatTwoLinkedFilesHave() throws IOException {
    Path model = imports.copyOf("mixtral");
    Path first = model.resolve("model-00001-of-00002.safetensors");
    String shared = "model.layers.1.block_sparse_moe.experts.3.w2.weight";
    try (SafetensorsFile second =
        SafetensorsFile.open(model.resolve("model-00002-of-00002.safetensors"))) {
      imports.rewrite(first, first, tensors -> tensors.put(shared, second.tensor(shared)));
    }
    Imports.edit(
        model.resolve("model.safetensors.index.json"),
        "\"%s\": \"model-00002".formatted(shared),
        "\"%s\": \"model-00001".formatted(shared));
    imports.assertRefused("and in another of its files", imports.run(model, "--link"));
    imports.assertImported(model);
  }

  @ParameterizedTest
  @CsvSource({
    "first_k_dense_replace",
    "n_routed_experts",
    "n_shared_experts",
    "n_group",
    "topk_group",
    "routed_scaling_factor",
    "norm_topk_prob",
    "num_experts_per_tok"
  })
  void takesNothingForGrantedThatChangesOutputs(String field) throws IOException {
    Path model = imports.copyOf("deepseek_v3");
    Imports.edit(model.resolve("config.json"), '"' + field + '"', "\"absent\"");
    imports.assertRefused("config.json has no \"" + field + "\"", imports.run(model));
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "deepseek_v3|\"sigmoid\"|\"softmax\"|scoring_func is \"softmax\"; allowed is \"sigmoid\"",
        "deepseek_v3|\"noaux_tc\"|\"greedy\"|topk_method is \"greedy\"; allowed is \"noaux_tc\"",
        "deepseek_v2|\"norm_topk_prob\": false|\"norm_topk_prob\": true|norm_topk_prob is true",
        "olmoe|\"norm_topk_prob\": false|\"norm_topk_prob\": 1|norm_topk_prob is 1; allowed is true or false",
        "olmoe|\"silu\"|\"relu2\"|hidden_act is \"relu2\"",
        "olmoe|\"hidden_size\"|\"quantization_config\": {\"bits\": 4}, \"hidden_size\"|quantization_config is {\"bits\":4}; allowed is none",
        "olmoe|\"num_hidden_layers\": 1|\"num_hidden_layers\": 2000000000|there is no tensor \"model.layers.1.mlp..."
      })
  void refusesAConfigOfAnotherModel(String model, String from, String to, String message)
      throws IOException {
    Path copy = imports.copyOf(model);
    Imports.edit(copy.resolve("config.json"), from, to);
    imports.assertRefused(message, imports.run(copy));
  }

  @ParameterizedTest
  @ValueSource(strings = {"8.5", "[]", "[16]", "\"16\"", "1e400", "true", "{}"})
  void refusesAConfigWithAnotherKindOfValue(String value) throws IOException {
    Path model = imports.copyOf("olmoe");
    Imports.edit(model.resolve("config.json"), "\"num_experts\": 16", "\"num_experts\": " + value);
    imports.assertRefused("num_experts is ", imports.run(model));
  }

  @Test
  void refusesLinksWhereTensorsMustBeRewritten() throws IOException {
    imports.assertRefused(
        "--link needs tensors", imports.run(Imports.MODELS.resolve("gpt_oss"), "--link"));
    imports.assertRefused(
        "--link needs tensors",
        imports.run(Imports.MODELS.resolve("olmoe"), "--link", "--dtype", "bf16"));
    imports.assertRefused(
        "--link needs tensors", imports.run(Imports.DEEPSPEED, "--link", "--k=2"));
  }

  /** As writers made them that did not fill the header up. */
  @Test
  void refusesLinksToTensorsThatLieAskew() throws IOException {
    Path model = imports.copyOf("olmoe");
    Path file = model.resolve("model.safetensors");
    byte[] old = Files.readAllBytes(file);
    ByteBuffer askew = ByteBuffer.allocate(old.length + 1).order(ByteOrder.LITTLE_ENDIAN);
    int header = ByteBuffer.wrap(old).order(ByteOrder.LITTLE_ENDIAN).getInt();
    askew.putLong(header + 1).put(old, Long.BYTES, header).put((byte) ' ');
    askew.put(old, Long.BYTES + header, old.length - Long.BYTES - header);
    Files.write(file, askew.array());
    imports.assertRefused("does not begin at a multiple of 4 bytes", imports.run(model, "--link"));
    imports.assertImported(model);
  }

  @ParameterizedTest
  @ValueSource(strings = {"gate_up_proj", "gate_up_proj_bias"})
  void refusesAnOddNumberOfColumns(String name) throws IOException {
    Path model = imports.copyOf("gpt_oss");
    Path file = model.resolve("model.safetensors");
    String full = "model.layers.0.mlp.experts." + name;
    imports.rewrite(
        file,
        file,
        tensors -> {
          List<Long> shape = new ArrayList<>(requireNonNull(tensors.get(full)).shape());
          shape.set(shape.size() - 1, 3L);
          int elements = Math.toIntExact(shape.stream().reduce(1L, Math::multiplyExact));
          tensors.put(
              full,
              Tensors.fp32(
                  new float[elements], shape.stream().mapToLong(Long::longValue).toArray()));
        });
    imports.assertRefused("allowed is an even number of columns", imports.run(model));
  }

  /** In an expert whose error is not measured. */
  @ParameterizedTest
  @CsvSource({"fp16, 1e5", "bf16, 3.4e38", "bf16, NaN"})
  void refusesWeightsThatDoNotFit(String dtype, float weight) throws IOException {
    Path model = imports.copyOf("olmoe");
    Path file = model.resolve("model.safetensors");
    String name = "model.layers.0.mlp.experts.3.down_proj.weight";
    imports.rewrite(
        file,
        file,
        tensors -> {
          StoredTensor old = requireNonNull(tensors.get(name));
          float[] weights = new float[Math.toIntExact(old.elements())];
          weights[5] = weight;
          tensors.put(
              name,
              Tensors.fp32(weights, old.shape().stream().mapToLong(Long::longValue).toArray()));
        });
    imports.assertRefused(
        "element 5 of tensor \"" + name + "\" does not fit", imports.run(model, "--dtype", dtype));
  }

  @Test
  void refusesModulesWhoseNamesDifferByTorchCompileAlone() throws IOException {
    Path twice = folder.resolve("twice.safetensors");
    imports.rewrite(
        Imports.STATE_DICT,
        twice,
        tensors ->
            Map.copyOf(tensors)
                .forEach((name, tensor) -> tensors.put("_orig_mod." + name, tensor)));
    imports.assertRefused("two of the checkpoint's MoE blocks", imports.run(twice, "--k=2"));
  }

  @Test
  void saysThatPicklesOfTransformersAreNotRead() throws IOException {
    Path model = imports.copyOf("olmoe");
    Files.move(model.resolve("model.safetensors"), model.resolve("pytorch_model.bin"));
    imports.assertRefused("its .bin files are not read", imports.run(model));
  }

  /** The import's own source may be meant. */
  @Test
  void doesNotAdviseToRemoveWhatIsThere() throws IOException {
    Path model = imports.copyOf("olmoe");
    Run run = Run.of("import", model.toString(), "--output", folder.toString());
    assertEquals(1, run.exitCode());
    assertTrue(run.err().contains("allowed is a --name that is not"), run.err());
    assertFalse(run.err().contains("remove"), run.err());
  }

  @Test
  void refusesDeepSpeedsArgumentsForModelsThatTellThem() throws IOException {
    imports.assertRefused(
        "config.json tells k and all the rest",
        imports.run(Imports.MODELS.resolve("olmoe"), "--k=2"));
  }

  @Test
  void refusesAnUnknownFamily() throws IOException {
    Path model = imports.copyOf("olmoe");
    Imports.edit(model.resolve("config.json"), "\"olmoe\"", "\"llama\"");
    imports.assertRefused(
        "model_type is \"llama\"; allowed is one of mixtral, qwen2_moe, qwen3_moe, olmoe, deepseek_v2, deepseek_v3, gpt_oss",
        imports.run(model));
  }

  @Test
  void refusesAConfigThatLacksAField() throws IOException {
    Path model = imports.copyOf("olmoe");
    Imports.edit(model.resolve("config.json"), "\"num_experts\"", "\"experts\"");
    imports.assertRefused("config.json has no \"num_experts\"", imports.run(model));
  }

  @Test
  void refusesATruncatedShard() throws IOException {
    Path model = imports.copyOf("mixtral");
    Path shard = model.resolve("model-00002-of-00002.safetensors");
    try (FileChannel file = FileChannel.open(shard, StandardOpenOption.WRITE)) {
      file.truncate(Files.size(shard) - 1);
    }
    imports.assertRefused("model-00002-of-00002.safetensors: ", imports.run(model));
  }

  @Test
  void refusesAMissingShard() throws IOException {
    Path model = imports.copyOf("mixtral");
    Files.delete(model.resolve("model-00002-of-00002.safetensors"));
    imports.assertRefused(
        "model-00002-of-00002.safetensors: there is no such file", imports.run(model));
  }

  @ParameterizedTest
  @ValueSource(strings = {"../outside.safetensors", "/etc/passwd", "a/b.safetensors", ""})
  void refusesAnIndexThatNamesAFileElsewhere(String file) throws IOException {
    Path model = imports.copyOf("mixtral");
    Imports.edit(
        model.resolve("model.safetensors.index.json"),
        "\"model-00002-of-00002.safetensors\"",
        "\"" + file + "\"");
    imports.assertRefused("allowed are names of files beside it", imports.run(model));
  }

  @ParameterizedTest
  @CsvSource({
    "model.layers.0.mlp.experts.3.down_proj.weight,true,there is no tensor",
    "model.layers.0.mlp.gate.weight,true,there is no tensor",
    "model.layers.0.mlp.experts.3.up_proj.weight,false,has shape",
  })
  void refusesMissingTensorsAndWrongShapes(String name, boolean missing, String message)
      throws IOException {
    Path model = imports.copyOf("olmoe");
    Path file = model.resolve("model.safetensors");
    imports.rewrite(
        file,
        file,
        tensors -> {
          StoredTensor old = requireNonNull(tensors.remove(name));
          if (!missing) {
            tensors.put(name, new StoredTensor(old.dtype(), old.shape().reversed(), old.data()));
          }
        });
    Run run = imports.run(model);
    imports.assertRefused(message, run);
    assertTrue(run.err().contains(name), run.err());
  }

  /** As pickles that run commands are written: os.system is called with a text. */
  @Test
  void refusesAHostilePickleWithoutRunningIt() throws IOException {
    Path checkpoint = imports.copyOf(Imports.DEEPSPEED);
    Path victim;
    try (Stream<Path> files = Files.walk(checkpoint)) {
      victim = files.filter(file -> file.endsWith("mp_rank_00_model_states.pt")).findFirst().get();
    }
    Path proof = folder.resolve("it-ran");
    byte[] pickle =
        "\u0080\u0002cposix\nsystem\n(S'touch %s'\ntR.".formatted(proof).getBytes(ISO_8859_1);
    CRC32 crc = new CRC32();
    crc.update(pickle);
    ZipEntry entry = new ZipEntry("archive/data.pkl");
    entry.setMethod(ZipEntry.STORED);
    entry.setSize(pickle.length);
    entry.setCrc(crc.getValue());
    try (ZipOutputStream zip = new ZipOutputStream(Files.newOutputStream(victim))) {
      zip.putNextEntry(entry);
      zip.write(pickle);
    }
    imports.assertRefused("posix.system", imports.run(checkpoint, "--k=2"));
    assertFalse(Files.exists(proof), "the pickle was run");
  }

  @Test
  void refusesWhatIsNoCheckpoint() throws IOException {
    imports.assertRefused(
        "is neither a folder nor a .safetensors file", imports.run(folder.resolve("nothing")));
    Path empty = Files.createDirectory(folder.resolve("empty"));
    assertEquals(1, imports.run(empty, "--k=2").exitCode());
    assertFalse(Files.exists(imports.repository()));
  }
}
