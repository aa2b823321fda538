package dev.guildhall.repository;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.guildhall.error.ErrorCode;
import dev.guildhall.error.GuildhallException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class LayerRepositoryTest {
  private static final String RIGHT =
      "{\"hidden_size\": 4, \"num_experts\": 2, \"mlp\": {\"activation\": \"relu\"}}";

  @TempDir Path repository;

  @Test
  void findsLayersAndModelsOfLayersInTheOrderOfTheirNames() throws IOException {
    writeLayer("zeta", RIGHT);
    writeLayer("model/layer_2", RIGHT);
    writeLayer("model/layer_10", RIGHT);
    writeLayer("Alpha-1.0_x", RIGHT);
    writeLayer("model-b", RIGHT);
    writeLayer("model", RIGHT);
    LayerRepository opened = LayerRepository.open(repository);
    assertEquals(repository, opened.folder());
    assertEquals(
        List.of("Alpha-1.0_x", "model", "model-b", "model/layer_10", "model/layer_2", "zeta"),
        names(opened));
    Layer layer = opened.layers().get(3);
    assertEquals(repository.resolve("model/layer_10"), layer.folder());
    assertEquals(4, layer.config().hiddenSize());
    assertEquals(2, layer.proto().getNumExperts());
  }

  @Test
  void takesTheNamesOfProtoAndOfJson() throws IOException {
    writeLayer(
        "layer",
        """
        {"hiddenSize": 4, "top2_2nd_expert_sampling": false, "noisy_gate_policy": null,
         "capacity_factor": 2, "onnx": {}}\
        """);
    LayerConfig config = LayerRepository.open(repository).layers().getFirst().config();
    assertEquals(4, config.hiddenSize());
    assertEquals(2.0, config.capacityFactor());
    assertEquals(NoisyGatePolicy.NONE, config.noisyGatePolicy());
    assertTrue(!config.top2SecondExpertSampling());
  }

  @Test
  void ignoresWhatIsNoLayer() throws IOException {
    writeLayer("layer", RIGHT);
    writeLayer("far/too/deep", "not even JSON");
    writeLayer(".ipynb_checkpoints", "not even JSON");
    writeLayer("layer/..2026_data", "not even JSON");
    Files.writeString(repository.resolve("README.md"), "# Layers");
    Files.writeString(repository.resolve("layer/layer.json.bak"), "not even JSON");
    Files.createDirectories(repository.resolve("some folder with spaces"));
    Files.createSymbolicLink(repository.resolve("dangling"), repository.resolve("nowhere"));
    assertEquals(List.of("layer"), names(LayerRepository.open(repository)));
  }

  @Test
  void followsSymbolicLinksAsMountedVolumesHaveThem() throws IOException {
    Path elsewhere = Files.createDirectories(repository.resolve(".volume/v1"));
    Files.writeString(elsewhere.resolve("layer.json"), RIGHT);
    Path real = Files.createDirectories(repository.resolve("real"));
    Files.createSymbolicLink(real.resolve("linked"), elsewhere);
    Files.createSymbolicLink(real.resolve("loop"), real);
    Path link = Files.createSymbolicLink(repository.resolve("link"), real);
    assertEquals(List.of("linked"), names(LayerRepository.open(link)));
  }

  @Test
  void refusesAMissingFolder() {
    Path missing = repository.resolve("missing");
    GuildhallException e = refused(missing, ErrorCode.NOT_FOUND);
    assertEquals("the model repository " + missing + " is not a folder", e.getMessage());
  }

  @Test
  void refusesAFolderWithoutLayers() {
    GuildhallException e = refused(repository, ErrorCode.NOT_FOUND);
    assertTrue(e.getMessage().contains(repository + " has no layer"), e.getMessage());
    assertTrue(e.getMessage().contains("layer.json"), e.getMessage());
  }

  @Test
  void refusesALayersFolderAsRepository() throws IOException {
    writeLayer("layer", RIGHT);
    Path layer = repository.resolve("layer");
    GuildhallException e = refused(layer, ErrorCode.INVALID_ARGUMENT);
    assertEquals(
        layer.resolve("layer.json")
            + ": this folder is a layer; the model repository is the folder above it",
        e.getMessage());
  }

  @ParameterizedTest
  @ValueSource(strings = {"my layer", "größe", "-x", "_x", "model/a=b"})
  void refusesAFolderNameThatNoRequestCouldName(String name) throws IOException {
    writeLayer(name, RIGHT);
    GuildhallException e = refused(repository, ErrorCode.INVALID_ARGUMENT);
    String segment = name.substring(name.lastIndexOf('/') + 1);
    assertTrue(
        e.getMessage().contains("the folder's name is \"" + segment + "\"; allowed are"),
        e.getMessage());
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '`',
      value = {
        "{\"hiden_size\": 4} | hiden_size",
        "{\"hidden_size\": 4, \"mlp\": {\"activation\": \"relu\", \"fc3\": \"x\"}} | fc3",
        "{\"hidden_size\": \"wide\"} | wide",
        "{\"hidden_size\": 4.5} | 4.5",
        "{\"hidden_size\": 99999999999} | 99999999999",
        "{\"hidden_size\": 4, \"mlp\": {}, \"onnx\": {}} | same oneof",
        "{\"hidden_size\": 4, \"hidden_size\": 8, \"onnx\": {}} | \"hidden_size\" occurs twice",
        "{\"hidden_size\": 4, \"hiddenSize\": 8, \"onnx\": {}} | hidden_size",
        "{\"hidden_size\": 4, \"onnx\": {\"file\": \"a\", \"file\": \"b\"}} | occurs twice",
        "{\"hidden_size\": 4, | not one right JSON object: End of input at line 1",
        "{\"hidden_size\": 4, \"onnx\": {}} x | not one right JSON object",
        "{hidden_size: 4, \"onnx\": {}} | not one right JSON object",
        "{\"hidden_size\": 4, /* wide */ \"onnx\": {}} | not one right JSON object",
        "{\"hidden_size\": 4, \"onnx\": {},} | not one right JSON object",
        "{\"weights\": {\"files\": [\"a\", \"b\"} | not one right JSON object",
        "{\"hidden_size\": 4, \"onnx\": {\"file\": \"\\ud83d\"}} | half of a surrogate pair",
        "[] | not one right JSON object",
        "`` | not one right JSON object",
        "{\"hidden_size\": 4, \"k\": 3, \"num_experts\": 2, \"onnx\": {}} | k is 3; allowed is",
        "{\"hidden_size\": 4, \"capacity_factor\": \"NaN\", \"onnx\": {}} | capacity_factor is NaN"
      })
  void refusesNamingTheFileAndWhatIsWrong(String json, String problem) throws IOException {
    writeLayer("layer", json);
    GuildhallException e = refused(repository, ErrorCode.INVALID_ARGUMENT);
    assertTrue(
        e.getMessage().startsWith(repository.resolve("layer/layer.json") + ": "), e.getMessage());
    assertTrue(e.getMessage().contains(problem), e.getMessage());
  }

  @Test
  void refusesDeepJsonWithoutOverflow() throws IOException {
    writeLayer("layer", "{\"mlp\":".repeat(100_000));
    refused(repository, ErrorCode.INVALID_ARGUMENT);
    writeLayer("layer", "[".repeat(100_000));
    refused(repository, ErrorCode.INVALID_ARGUMENT);
  }

  @Test
  void refusesAFileThatIsNotText() throws IOException {
    Files.write(writeLayer("layer", ""), new byte[] {'{', (byte) 0xff, '}'});
    refused(repository, ErrorCode.INVALID_ARGUMENT);
  }

  @Test
  void opensTheExamples() {
    LayerRepository examples = LayerRepository.open(Path.of("../examples/digits"));
    assertEquals(List.of("digits"), names(examples));
    assertEquals(128, examples.layers().getFirst().config().hiddenSize());
  }

  private Path writeLayer(String name, String json) throws IOException {
    Path folder = Files.createDirectories(repository.resolve(name));
    return Files.writeString(folder.resolve("layer.json"), json);
  }

  private static GuildhallException refused(Path folder, ErrorCode code) {
    GuildhallException e =
        assertThrows(GuildhallException.class, () -> LayerRepository.open(folder));
    assertEquals(code, e.code(), e.getMessage());
    return e;
  }

  private static List<String> names(LayerRepository repository) {
    return repository.layers().stream().map(Layer::name).toList();
  }
}
