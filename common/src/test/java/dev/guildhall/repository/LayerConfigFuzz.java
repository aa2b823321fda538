package dev.guildhall.repository;

import static java.util.Objects.requireNonNull;
import static org.junit.jupiter.api.Assertions.assertEquals;

import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.util.JsonFormat;
import dev.guildhall.error.ErrorCode;
import dev.guildhall.error.GuildhallException;
import dev.guildhall.fuzz.GoldenFiles;
import dev.guildhall.fuzz.HeapBound;
import dev.guildhall.fuzz.SeedFolder;
import dev.guildhall.proto.MoeLayerConfig;
import dev.guildhall.safetensors.SafetensorsFile;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;

/**
 * Fuzz target: a layer.json of these bytes.
 *
 * <p>Oracle: it is refused as INVALID_ARGUMENT, or the configuration survives the way through JSON
 * and through protobuf's binary form unchanged, and the files that it names are paths or refused as
 * INVALID_ARGUMENT.
 */
public final class LayerConfigFuzz {
  /** What a golden case's configuration holds beside the layer's arguments. */
  private static final List<String> NOT_OF_THE_LAYER =
      List.of("ffn_size", "training", "num_tokens", "input_shape", "used_token", "tuple_expert");

  private static final Path FOLDER = Path.of("layer");

  private LayerConfigFuzz() {}

  /** The golden layers, and one that sets every other field. */
  public static Stream<byte[]> seeds() {
    String onnx =
        """
        {"hidden_size": 4, "numExperts": 8, "ep_size": 2, "k": 1e0, "use_tutel": null,
         "enable_expert_tensor_parallelism": true, "noisy_gate_policy": "None",
         "onnx": {"file": "e{expert}.onnx", "residual_file": "\\ud83d\\ude00"},
         "weights": {"files": ["a\\u0001", "b"], "gate": "g", "coefficient": "c", "expert": "\\u0065{expert}",
         "residual": "r"}}
        """;
    String mlp =
        "{\"hidden_size\":4,\"mlp\":{\"activation\":\"silu\",\"fc1\":\"a\",\"fc2\":\"b\"}}";
    return Stream.concat(
            Stream.of(onnx, mlp), GoldenFiles.all().stream().map(LayerConfigFuzz::layerJson))
        .map(json -> json.getBytes(StandardCharsets.UTF_8));
  }

  private static String layerJson(Path golden) {
    try (SafetensorsFile file = SafetensorsFile.open(golden)) {
      JsonObject json =
          JsonParser.parseString(requireNonNull(file.metadata().get("config"))).getAsJsonObject();
      NOT_OF_THE_LAYER.forEach(json::remove);
      JsonObject mlp = new JsonObject();
      mlp.add("activation", json.remove("activation"));
      json.add("mlp", mlp);
      return json.toString();
    }
  }

  public static void fuzzerInitialize() throws Exception {
    SeedFolder.warmUp(LayerConfigFuzz::check);
  }

  public static void fuzzerTestOneInput(byte[] input) throws Exception {
    HeapBound.check(input, LayerConfigFuzz::check);
  }

  private static void check(byte[] input) throws InvalidProtocolBufferException {
    String json;
    try {
      json = StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(input)).toString();
    } catch (CharacterCodingException e) {
      return; // As Files.readString has it.
    }
    try {
      Layer layer = LayerRepository.parse("fuzzed", FOLDER, json);
      checkLayer(layer);
    } catch (GuildhallException e) {
      assertEquals(ErrorCode.INVALID_ARGUMENT, e.code());
    }
  }

  private static void checkLayer(Layer layer) throws InvalidProtocolBufferException {
    MoeLayerConfig proto = layer.proto();
    String printed = JsonFormat.printer().print(proto);
    Layer again;
    try {
      again = LayerRepository.parse(layer.name(), FOLDER, printed);
    } catch (GuildhallException e) {
      throw new AssertionError("refused when printed again: " + printed, e);
    }
    assertEquals(proto, again.proto());
    assertEquals(layer.config(), again.config());
    assertEquals(proto, MoeLayerConfig.parseFrom(proto.toByteArray()));
    for (String file : layer.config().weights().files()) {
      Path resolved = FOLDER.resolve(file).normalize();
      if (!resolved.startsWith(FOLDER.normalize())) {
        throw new AssertionError(file + " leaves the layer's folder");
      }
    }
    if (layer.config().expert() instanceof ExpertArchitecture.Onnx onnx) {
      LayerWeights.onnxFile(layer, onnx, 0);
      LayerWeights.onnxFile(layer, onnx, layer.config().denseExpert());
    }
  }
}
