package dev.guildhall.cli;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_FLOAT_UNALIGNED;
import static java.nio.charset.StandardCharsets.UTF_8;
import static java.util.Objects.requireNonNull;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.Gson;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import dev.guildhall.proto.Dtype;
import dev.guildhall.proto.ForwardRequest;
import dev.guildhall.proto.ForwardResponse;
import dev.guildhall.repository.Layer;
import dev.guildhall.repository.LayerRepository;
import dev.guildhall.repository.LayerVersion;
import dev.guildhall.safetensors.SafetensorsFile;
import dev.guildhall.safetensors.SafetensorsWriter;
import dev.guildhall.safetensors.StoredTensor;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class ImportCommandTest {
  private static final Path MODELS =
      Path.of(System.getProperty("guildhall.home", ".."))
          .resolve("checkpoint/src/test/resources/huggingface");
  private static final Path DEEPSPEED =
      Path.of(System.getProperty("guildhall.home", ".."))
          .resolve("checkpoint/src/test/resources/deepspeed/digits");
  private static final List<String> DIGITS_ARGUMENTS =
      List.of(
          "--k=2",
          "--capacity-factor=1.25",
          "--eval-capacity-factor=2",
          "--top2-2nd-expert-sampling",
          "false",
          "--activation=relu");

  @TempDir private Path folder;

  private Path repository() {
    return folder.resolve("repository");
  }

  private Run importOf(Path source, String... more) {
    return Run.of(
        Stream.concat(
                Stream.of("import", source.toString(), "--output", repository().toString()),
                Stream.of(more))
            .toArray(String[]::new));
  }

  private void assertRefused(String message, Run run) throws IOException {
    assertEquals(1, run.exitCode(), run.out());
    assertTrue(run.err().contains(message), run.err());
    assertFalse(Files.exists(repository()), "something was left");
  }

  private Path copyOf(String model) throws IOException {
    Path copy = folder.resolve(model);
    Files.createDirectory(copy);
    try (Stream<Path> files = Files.list(MODELS.resolve(model))) {
      for (Path file : files.toList()) {
        Files.copy(file, copy.resolve(file.getFileName()));
      }
    }
    return copy;
  }

  private static void edit(Path file, String from, String to) throws IOException {
    String text = Files.readString(file);
    assertTrue(text.contains(from), text);
    Files.writeString(file, text.replace(from, to));
  }

  @Test
  void printsWhatItMade() {
    Run run = importOf(MODELS.resolve("mixtral"));
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
    Run run = importOf(MODELS.resolve("mixtral"), "--layers", "layer_1", "--name", "m");
    assertEquals(0, run.exitCode(), run.err());
    assertEquals(
        List.of("m/layer_1"),
        LayerRepository.open(repository()).layers().stream().map(Layer::name).toList());
    Run wrong = importOf(MODELS.resolve("mixtral"), "--layers", "layer_2", "--name", "n");
    assertTrue(
        wrong.err().contains("--layers names \"layer_2\"; the checkpoint has layer_0, layer_1"),
        wrong.err());
  }

  @Test
  void leavesAModelThatIsThereAlone() {
    assertEquals(0, importOf(MODELS.resolve("olmoe")).exitCode());
    Run again = importOf(MODELS.resolve("olmoe"));
    assertEquals(1, again.exitCode());
    assertTrue(again.err().contains("olmoe is there already"), again.err());
    assertEquals(1, LayerRepository.open(repository()).layers().size());
  }

  @Test
  void refusesAModelsNameThatLeavesTheRepository() throws IOException {
    assertRefused(
        "the folder's name is \"../olmoe\"; allowed are letters, digits",
        importOf(MODELS.resolve("olmoe"), "--name", "../olmoe"));
  }

  @ParameterizedTest
  @ValueSource(strings = {"../../escaped", "_orig_mod.moe", "a/b"})
  void refusesBlocksWhoseNamesAreNoneForFolders(String prefix) throws IOException {
    Map<String, StoredTensor> tensors = new TreeMap<>();
    try (SafetensorsFile digits =
        SafetensorsFile.open(Digits.REPOSITORY.resolve("digits/model.safetensors"))) {
      digits
          .tensors()
          .forEach((name, tensor) -> tensors.put(name.replaceFirst("^moe", prefix), tensor));
      SafetensorsWriter.write(folder.resolve("odd.safetensors"), tensors, Map.of());
    }
    assertRefused(
        "the folder's name is \"" + prefix + "\"",
        importOf(folder.resolve("odd.safetensors"), "--k=2"));
    assertFalse(Files.exists(folder.resolve("../escaped")));
  }

  @Test
  void refusesExpertsThatAreMoreThanTwoMaps() throws IOException {
    Map<String, StoredTensor> tensors = new TreeMap<>();
    try (SafetensorsFile digits =
        SafetensorsFile.open(Digits.REPOSITORY.resolve("digits/model.safetensors"))) {
      tensors.putAll(digits.tensors());
      tensors.put(
          "moe.deepspeed_moe.experts.deepspeed_experts.0.norm.weight",
          Tensors.fp32(new float[128], 128));
      SafetensorsWriter.write(folder.resolve("norm.safetensors"), tensors, Map.of());
    }
    assertRefused(
        "allowed are two linear maps", importOf(folder.resolve("norm.safetensors"), "--k=2"));
  }

  @ParameterizedTest
  @ValueSource(strings = {"8.5", "[]", "\"many\""})
  void refusesAConfigWithAnotherKindOfValue(String value) throws IOException {
    Path model = copyOf("olmoe");
    edit(model.resolve("config.json"), "\"num_experts\": 16", "\"num_experts\": " + value);
    assertRefused("num_experts is " + value, importOf(model));
  }

  @ParameterizedTest
  @CsvSource({"bf16,1e-2", "fp16,1e-3", "int8,2e-2", "int4,3e-1"})
  void tellsTheErrorOfFewerBits(String dtype, double atMost) {
    Run run = importOf(MODELS.resolve("olmoe"), "--dtype", dtype, "--json");
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
    assertEquals(0, importOf(MODELS.resolve("mixtral")).exitCode());
    assertEquals(0, importOf(MODELS.resolve("mixtral"), "--link", "--name", "linked").exitCode());
    Map<String, Layer> layers = new TreeMap<>();
    LayerRepository.open(repository()).layers().forEach(layer -> layers.put(layer.name(), layer));
    assertEquals(4, layers.size());
    Path shard = repository().resolve("linked/layer_0/model-00001-of-00002.safetensors");
    assertTrue(Files.isSymbolicLink(shard));
    // Of the shared files only what is the layer's tells versions apart.
    Layer linked = requireNonNull(layers.get("linked/layer_1"));
    String before = LayerVersion.of(linked).digest();
    Path second = repository().resolve("linked/layer_1/model-00002-of-00002.safetensors");
    replaceTensor(second, "model.layers.1.block_sparse_moe.experts.3.w2.weight", false);
    assertFalse(before.equals(LayerVersion.of(linked).digest()));
    replaceTensor(second, "model.layers.1.block_sparse_moe.experts.3.w2.weight", true);
    assertEquals(before, LayerVersion.of(linked).digest());
    replaceTensor(second, "model.layers.0.self_attn.q_proj.weight", false);
    assertEquals(before, LayerVersion.of(linked).digest());
  }

  /** Puts a changed copy in the link's place; the file it points to is left alone. */
  private void replaceTensor(Path link, String name, boolean original) throws IOException {
    Path source = MODELS.resolve("mixtral").resolve(link.getFileName());
    Path changed = folder.resolve("changed.safetensors");
    try (SafetensorsFile file = SafetensorsFile.open(source)) {
      Map<String, StoredTensor> tensors = new TreeMap<>(file.tensors());
      StoredTensor old = file.tensor(name);
      byte[] bytes = old.data().toArray(JAVA_BYTE);
      if (!original) {
        bytes[0]++;
      }
      tensors.put(name, new StoredTensor(old.dtype(), old.shape(), MemorySegment.ofArray(bytes)));
      SafetensorsWriter.write(changed, tensors, Map.of());
    }
    Files.move(changed, link, StandardCopyOption.REPLACE_EXISTING);
  }

  @Test
  void refusesLinksWhereTensorsMustBeRewritten() throws IOException {
    assertRefused("--link needs tensors", importOf(MODELS.resolve("gpt_oss"), "--link"));
    assertRefused(
        "--link needs tensors", importOf(MODELS.resolve("olmoe"), "--link", "--dtype", "bf16"));
    assertRefused("--link needs tensors", importOf(DEEPSPEED, "--link", "--k=2"));
  }

  @Test
  void aDeepSpeedCheckpointAnswersAsDeepSpeedDid() throws Exception {
    Run run =
        importOf(
            DEEPSPEED,
            Stream.concat(Stream.of("--name=digits"), DIGITS_ARGUMENTS.stream())
                .toArray(String[]::new));
    assertEquals(0, run.exitCode(), run.err());
    assertAnswers("digits/moe");
  }

  @Test
  void aStateDictInSafetensorsAnswersAsDeepSpeedDid() throws Exception {
    Run run =
        importOf(
            Digits.REPOSITORY.resolve("digits/model.safetensors"),
            Stream.concat(Stream.of("--link"), DIGITS_ARGUMENTS.stream()).toArray(String[]::new));
    assertEquals(0, run.exitCode(), run.err());
    assertAnswers("model/moe");
  }

  private void assertAnswers(String layer) throws Exception {
    try (ServedSystem system = ServedSystem.start(LayerRepository.open(repository()))) {
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

  @Test
  void saysWhatADeepSpeedCheckpointDoesNotTell() throws IOException {
    assertRefused("give --k", importOf(DEEPSPEED));
    Run run = importOf(DEEPSPEED, "--k=2");
    assertEquals(0, run.exitCode(), run.err());
    assertTrue(run.err().contains("note: the experts' activation is taken to be relu"), run.err());
  }

  @Test
  void refusesDeepSpeedsArgumentsForModelsThatTellThem() throws IOException {
    assertRefused(
        "config.json tells k and all the rest", importOf(MODELS.resolve("olmoe"), "--k=2"));
  }

  @Test
  void refusesAnUnknownFamily() throws IOException {
    Path model = copyOf("olmoe");
    edit(model.resolve("config.json"), "\"olmoe\"", "\"llama\"");
    assertRefused(
        "model_type is \"llama\"; allowed is one of mixtral, qwen2_moe, qwen3_moe, olmoe, deepseek_v2, deepseek_v3, gpt_oss",
        importOf(model));
  }

  @Test
  void refusesAConfigThatLacksAField() throws IOException {
    Path model = copyOf("olmoe");
    edit(model.resolve("config.json"), "\"num_experts\"", "\"experts\"");
    assertRefused("config.json has no \"num_experts\"", importOf(model));
  }

  @Test
  void refusesATruncatedShard() throws IOException {
    Path model = copyOf("mixtral");
    Path shard = model.resolve("model-00002-of-00002.safetensors");
    try (FileChannel file = FileChannel.open(shard, StandardOpenOption.WRITE)) {
      file.truncate(Files.size(shard) - 1);
    }
    assertRefused("model-00002-of-00002.safetensors: ", importOf(model));
  }

  @Test
  void refusesAMissingShard() throws IOException {
    Path model = copyOf("mixtral");
    Files.delete(model.resolve("model-00002-of-00002.safetensors"));
    assertRefused("model-00002-of-00002.safetensors: there is no such file", importOf(model));
  }

  @ParameterizedTest
  @ValueSource(strings = {"../outside.safetensors", "/etc/passwd", "a/b.safetensors", ""})
  void refusesAnIndexThatNamesAFileElsewhere(String file) throws IOException {
    Path model = copyOf("mixtral");
    edit(
        model.resolve("model.safetensors.index.json"),
        "\"model-00002-of-00002.safetensors\"",
        "\"" + file + "\"");
    assertRefused("allowed are names of files beside it", importOf(model));
  }

  @ParameterizedTest
  @CsvSource({
    "model.layers.0.mlp.experts.3.down_proj.weight,true,there is no tensor",
    "model.layers.0.mlp.gate.weight,true,there is no tensor",
    "model.layers.0.mlp.experts.3.up_proj.weight,false,has shape",
  })
  void refusesMissingTensorsAndWrongShapes(String name, boolean missing, String message)
      throws IOException {
    Path model = copyOf("olmoe");
    Path file = model.resolve("model.safetensors");
    Path changed = folder.resolve("changed.safetensors");
    try (SafetensorsFile tensors = SafetensorsFile.open(file)) {
      Map<String, StoredTensor> all = new TreeMap<>(tensors.tensors());
      StoredTensor old = requireNonNull(all.remove(name));
      if (!missing) {
        all.put(name, new StoredTensor(old.dtype(), old.shape().reversed(), old.data()));
      }
      SafetensorsWriter.write(changed, all, Map.of());
    }
    Files.move(changed, file, StandardCopyOption.REPLACE_EXISTING);
    Run run = importOf(model);
    assertRefused(message, run);
    assertTrue(run.err().contains(name), run.err());
  }

  @Test
  void refusesWhatIsNoCheckpoint() throws IOException {
    assertRefused(
        "is neither a folder nor a .safetensors file", importOf(folder.resolve("nothing")));
    Path empty = Files.createDirectory(folder.resolve("empty"));
    assertEquals(1, importOf(empty, "--k=2").exitCode());
    assertFalse(Files.exists(repository()));
  }

  /** Bigger than any machine's memory that this runs on; all of it zeros. */
  @Test
  void aCheckpointLargerThanMemoryIsMapped() throws Exception {
    Path model = Files.createDirectory(folder.resolve("large"));
    Files.copy(MODELS.resolve("olmoe/config.json"), model.resolve("config.json"));
    try (SafetensorsFile small = SafetensorsFile.open(MODELS.resolve("olmoe/model.safetensors"))) {
      writeSparse(model.resolve("model.safetensors"), small.tensors(), 1L << 40);
    }
    for (String how : List.of("--link", "--dtype=stored")) {
      Run run = importOf(model, how, "--name", how.replaceAll("[^a-z]", ""));
      assertEquals(0, run.exitCode(), run.err());
    }
    try (ServedSystem system = ServedSystem.start(LayerRepository.open(repository()))) {
      for (String name : List.of("link/layer_0", "dtypestored/layer_0")) {
        ForwardResponse answer =
            system
                .client()
                .forward(
                    ForwardRequest.newBuilder()
                        .setLayer(name)
                        .setDtype(Dtype.DTYPE_FP32)
                        .addShape(1)
                        .addShape(32)
                        .setHiddenStates(Tensors.bytes(Tensors.random(1, 32)))
                        .build());
        assertArrayEquals(new float[32], Tensors.floats(answer.getOutput()));
      }
    }
  }

  private static void writeSparse(Path file, Map<String, StoredTensor> tensors, long restBytes)
      throws IOException {
    JsonObject header = new JsonObject();
    long offset = 0;
    for (Map.Entry<String, StoredTensor> entry : tensors.entrySet()) {
      StoredTensor tensor = entry.getValue();
      offset = addEntry(header, entry.getKey(), "F32", tensor.shape(), offset, 4);
    }
    long end = addEntry(header, "model.rest", "U8", List.of(restBytes), offset, 1);
    byte[] json = header.toString().getBytes(UTF_8);
    try (FileChannel channel =
        FileChannel.open(
            file,
            StandardOpenOption.CREATE_NEW,
            StandardOpenOption.WRITE,
            StandardOpenOption.SPARSE)) {
      ByteBuffer start =
          ByteBuffer.allocate(8 + json.length).order(ByteOrder.LITTLE_ENDIAN).putLong(json.length);
      channel.write(start.put(json).flip());
      channel.write(ByteBuffer.allocate(1), 8 + json.length + end - 1);
    }
  }

  private static long addEntry(
      JsonObject header, String name, String dtype, List<Long> shape, long begin, int bytes) {
    long end = begin + shape.stream().reduce((long) bytes, (a, b) -> a * b);
    JsonObject entry = new JsonObject();
    entry.addProperty("dtype", dtype);
    entry.add("shape", new Gson().toJsonTree(shape));
    entry.add("data_offsets", new Gson().toJsonTree(List.of(begin, end)));
    header.add(name, entry);
    return end;
  }

  /** 64 layers of 64 experts: no thread an expert, and answers of any layer. */
  @Test
  void aModelOfManyLayersIsServed() throws Exception {
    Path model = Files.createDirectory(folder.resolve("many"));
    Files.writeString(
        model.resolve("config.json"),
        """
        {"model_type": "mixtral", "hidden_size": 16, "num_local_experts": 64,
         "num_experts_per_tok": 2, "num_hidden_layers": 64}
        """);
    Map<String, StoredTensor> tensors = new LinkedHashMap<>();
    for (int layer = 0; layer < 64; layer++) {
      String block = "model.layers.%d.block_sparse_moe.".formatted(layer);
      tensors.put(block + "gate.weight", random(64));
      for (int expert = 0; expert < 64; expert++) {
        for (String map : List.of("w1", "w2", "w3")) {
          tensors.put(block + "experts." + expert + "." + map + ".weight", random(16));
        }
      }
    }
    SafetensorsWriter.write(model.resolve("model.safetensors"), tensors, Map.of());
    Run run = importOf(model, "--link");
    assertEquals(0, run.exitCode(), run.err());
    int before = Thread.activeCount();
    try (ServedSystem system = ServedSystem.start(LayerRepository.open(repository()))) {
      assertTrue(Thread.activeCount() - before < 64, "threads: " + Thread.activeCount());
      for (String name : List.of("many/layer_0", "many/layer_63")) {
        ForwardResponse answer =
            system
                .client()
                .forward(
                    ForwardRequest.newBuilder()
                        .setLayer(name)
                        .setDtype(Dtype.DTYPE_FP32)
                        .addShape(1)
                        .addShape(16)
                        .setHiddenStates(Tensors.bytes(Tensors.random(1, 16)))
                        .build());
        assertEquals(2, answer.getExpCountsList().stream().mapToLong(Long::longValue).sum());
      }
    }
  }

  private static StoredTensor random(int rows) {
    return Tensors.fp32(Tensors.random(rows, rows * 16), rows, 16);
  }
}
