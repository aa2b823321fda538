package dev.guildhall.cli;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import com.google.protobuf.ByteString;
import dev.guildhall.proto.ForwardResponse;
import dev.guildhall.repository.LayerRepository;
import dev.guildhall.tensor.DType;
import java.net.http.HttpClient;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** The Open Inference Protocol over HTTP, as the JDK's own client sees it. */
class InferenceRestTest {
  private static final double TOLERANCE = 1e-4;
  private static final String NESTED = "/v2/models/model%2Ffirst";

  @TempDir private static Path folder;

  private static LeakWatch leaks;
  private static ServedSystem system;
  private static HttpClient http;
  private static Rest rest;

  @BeforeAll
  static void start() throws Exception {
    leaks = new LeakWatch();
    InferenceModels.write(folder);
    system = ServedSystem.start(LayerRepository.open(folder));
    http = HttpClient.newHttpClient();
    rest = new Rest(http, "http://localhost:" + system.httpPort());
  }

  @AfterAll
  static void stop() {
    http.close();
    system.close();
    leaks.close();
  }

  @ParameterizedTest
  @ValueSource(strings = {"{", "{\"inputs\": []}"})
  void requestsThatAreNotRunAreCounted(String body) throws Exception {
    double before = system.refused("INVALID_ARGUMENT");
    assertEquals(400, rest.post("/v2/models/digits/infer", body).statusCode());
    assertEquals(before + 1, system.refused("INVALID_ARGUMENT"));
  }

  @Test
  void answersTheDigitsLayerInJsonAsDeepSpeedDid() throws Exception {
    // Sixty at a time: the router takes 1 MiB a request, and text is longer than what it says.
    float[] hiddenStates = Tensors.floats(Digits.HELD_OUT, "hidden_states");
    HttpResponse<byte[]> response =
        rest.post("/v2/models/digits/infer", request("FP32", hiddenStates, 599, 128));
    assertEquals(200, response.statusCode(), () -> Rest.error(response));
    assertEquals("application/json", response.headers().firstValue("content-type").orElse(""));
    JsonObject answer = Rest.json(response);
    assertEquals("digits", answer.get("model_name").getAsString());
    assertEquals(64, answer.get("model_version").getAsString().length());
    assertEquals("[599,128]", Rest.output(answer, "output").get("shape").toString());
    assertIsDeepSpeeds(
        Rest.floats(answer, "output"),
        Rest.floats(answer, "l_aux"),
        Rest.longs(answer, "exp_counts"));
  }

  @ParameterizedTest
  @ValueSource(booleans = {true, false})
  void answersTheDigitsLayerInBinaryAsDeepSpeedDid(boolean packed) throws Exception {
    byte[] data = Tensors.bytes(Tensors.floats(Digits.HELD_OUT, "hidden_states")).toByteArray();
    byte[] json =
        """
        {"id": "heldout", "inputs": [{"name": "hidden_states", "datatype": "FP32", "shape": [599, 128],
          "parameters": {"binary_data_size": %d}}], "parameters": {"binary_data_output": true}}
        """
            .formatted(data.length)
            .getBytes(StandardCharsets.UTF_8);
    byte[] body = new byte[json.length + data.length];
    System.arraycopy(json, 0, body, 0, json.length);
    System.arraycopy(data, 0, body, json.length, data.length);
    var request =
        rest.request("/v2/models/digits/infer")
            .header(Rest.JSON_BYTES, Integer.toString(json.length))
            .POST(BodyPublishers.ofByteArray(packed ? Rest.gzip(body) : body));
    if (packed) {
      request.header("Content-Encoding", "gzip").header("Accept-Encoding", "gzip");
    }
    HttpResponse<byte[]> response = rest.send(request);
    assertEquals(200, response.statusCode());
    assertEquals(
        packed ? "gzip" : "", response.headers().firstValue("content-encoding").orElse(""));
    byte[] whole = packed ? Rest.gunzip(response.body()) : response.body();
    int head = Integer.parseInt(response.headers().firstValue(Rest.JSON_BYTES).orElseThrow());
    JsonObject answer =
        JsonParser.parseString(new String(whole, 0, head, StandardCharsets.UTF_8))
            .getAsJsonObject();
    assertEquals("heldout", answer.get("id").getAsString());
    ByteBuffer behind =
        ByteBuffer.wrap(whole, head, whole.length - head).slice().order(ByteOrder.LITTLE_ENDIAN);
    float[] output = new float[599 * 128];
    float[] loss = new float[1];
    long[] counts = new long[8];
    assertEquals(output.length * 4 + 4 + 64, behind.remaining());
    assertEquals(
        List.of(output.length * 4L, 4L, 64L),
        answer.getAsJsonArray("outputs").asList().stream()
            .map(tensor ->
                tensor
                    .getAsJsonObject()
                    .getAsJsonObject("parameters")
                    .get("binary_data_size")
                    .getAsLong())
            .toList());
    behind.asFloatBuffer().get(output);
    behind
        .position(output.length * 4)
        .slice()
        .order(ByteOrder.LITTLE_ENDIAN)
        .asFloatBuffer()
        .get(loss);
    behind
        .position(output.length * 4 + 4)
        .slice()
        .order(ByteOrder.LITTLE_ENDIAN)
        .asLongBuffer()
        .get(counts);
    assertIsDeepSpeeds(output, loss, counts);
  }

  private static void assertIsDeepSpeeds(float[] output, float[] loss, long[] counts) {
    Tensors.assertClose(Tensors.floats(Digits.HELD_OUT, "moe_output"), output, TOLERANCE);
    Tensors.assertClose(Tensors.floats(Digits.HELD_OUT, "l_aux"), loss, TOLERANCE);
    assertArrayEquals(Tensors.longs(Digits.HELD_OUT, "exp_counts"), counts);
  }

  @Test
  void jsonIsPackedWhenItIsAskedFor() throws Exception {
    byte[] body = request("FP32", Tensors.random(1, 800), 100, 8).getBytes(StandardCharsets.UTF_8);
    HttpResponse<byte[]> packed =
        rest.send(
            rest.request(NESTED + "/infer")
                .header("Content-Encoding", "gzip")
                .header("Accept-Encoding", "gzip")
                .POST(BodyPublishers.ofByteArray(Rest.gzip(body))));
    assertEquals("gzip", packed.headers().firstValue("content-encoding").orElse(""));
    HttpResponse<byte[]> plain =
        rest.post(NESTED + "/infer", new String(body, StandardCharsets.UTF_8));
    assertEquals(
        Rest.json(plain),
        JsonParser.parseString(new String(Rest.gunzip(packed.body()), StandardCharsets.UTF_8)));
  }

  @Test
  void isTheSameForwardAsOurOwnServiceWhateverTheNestingAndOrder() throws Exception {
    float[] hiddenStates = Tensors.random(2, 2 * 3 * 8);
    ForwardResponse own =
        system.client().forward(Requests.of(InferenceModels.NESTED, hiddenStates, 2, 3, 8).build());
    String nested =
        IntStream.range(0, 2)
            .mapToObj(batch ->
                IntStream.range(0, 3)
                    .mapToObj(token -> text(hiddenStates, (batch * 3 + token) * 8, 8))
                    .collect(Collectors.joining(",", "[", "]")))
            .collect(Collectors.joining(",", "[", "]"));
    List<String> bodies =
        List.of(
            request("FP32", hiddenStates, 2, 3, 8),
            "{\"inputs\": [{\"name\": \"hidden_states\", \"datatype\": \"FP32\","
                + " \"shape\": [2, 3, 8], \"data\": "
                + nested
                + "}]}",
            "{\"inputs\": [{\"data\": "
                + nested
                + ", \"datatype\": \"FP32\", \"name\": \"hidden_states\", \"shape\": [2, 3, 8]}]}");
    for (String path : List.of(NESTED, "/v2/models/model/first")) {
      for (String body : bodies) {
        JsonObject answer = Rest.json(rest.post(path + "/infer", body));
        assertEquals(own.getOutput(), Tensors.bytes(Rest.floats(answer, "output")));
        assertEquals(own.getLAux(), Rest.floats(answer, "l_aux")[0]);
        assertEquals("[2,3,8]", Rest.output(answer, "output").get("shape").toString());
      }
    }
  }

  @ParameterizedTest
  @EnumSource(
      value = DType.class,
      names = {"FP16", "BF16"})
  void sixteenBitsAreTakenAndGivenAsNumbersToo(DType dtype) throws Exception {
    ByteString narrow = Tensors.bytes(dtype, Tensors.random(3, 5 * 8));
    float[] values = Tensors.floats(dtype, narrow);
    String outputs =
        ", \"outputs\": [{\"name\": \"output\", \"parameters\": {\"binary_data\": %s}}]";
    String input =
        "{\"inputs\": [{\"name\": \"hidden_states\", \"datatype\": \"%s\", \"shape\": [5, 8], %s}]"
            .formatted(dtype, "%s");
    String numbers = input.formatted("\"data\": " + text(values, 0, 40));
    String binary = input.formatted("\"parameters\": {\"binary_data_size\": 80}");
    JsonObject json =
        Rest.json(rest.post(NESTED + "/infer", numbers + outputs.formatted("false") + "}"));
    HttpResponse<byte[]> bytes =
        rest.post(
            NESTED + "/infer", binary + outputs.formatted("true") + "}", narrow.toByteArray());
    assertEquals(dtype.name(), Rest.output(json, "output").get("datatype").getAsString());
    int head = Integer.parseInt(bytes.headers().firstValue(Rest.JSON_BYTES).orElseThrow());
    assertEquals(80, bytes.body().length - head);
    assertArrayEquals(
        Tensors.floats(dtype, ByteString.copyFrom(bytes.body(), head, 80)),
        Rest.floats(json, "output"));
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "\"datatype\": \"BOOL\", \"shape\": [4], \"data\": [true, false, true, false]",
        "\"datatype\": \"INT64\", \"shape\": [4], \"data\": [1, 0, 1, 0]",
        "\"shape\": [2, 2], \"data\": [[1, 0], [1, 0]], \"datatype\": \"INT64\"",
        "\"shape\": [4], \"data\": [true, false, true, false], \"datatype\": \"BOOL\""
      })
  void tokensThatAreNotUsedTakeNoRoutes(String used) throws Exception {
    String hiddenStates = request("FP32", Tensors.random(4, 32), 4, 8);
    String body =
        hiddenStates.substring(0, hiddenStates.length() - 2)
            + ", {\"name\": \"used_token\", "
            + used
            + "}]}";
    JsonObject answer = Rest.json(rest.post(NESTED + "/infer", body));
    assertEquals(4, Arrays.stream(Rest.longs(answer, "exp_counts")).sum());
    assertArrayEquals(new float[8], Arrays.copyOfRange(Rest.floats(answer, "output"), 8, 16));
  }

  @Test
  void parametersReachTheGate() throws Exception {
    String request = request("FP32", Tensors.random(5, 64 * 8), 64, 8);
    String training =
        "{\"parameters\": {\"training\": true, \"seed\": 18446744073709551615, \"timeout_ms\": 20000,"
            + " \"on_missing_expert\": \"drop\", \"headers\": {\"for\": [\"others\"]}, \"priority\": null},"
            + " \"outputs\": [{\"name\": \"exp_counts\"}], "
            + request.substring(1);
    JsonObject eval = Rest.json(rest.post("/v2/models/tight/infer", request));
    HttpResponse<byte[]> trained = rest.post("/v2/models/tight/infer", training);
    assertEquals(200, trained.statusCode(), () -> Rest.error(trained));
    assertEquals(64, eval.getAsJsonObject("parameters").get("capacity").getAsInt());
    assertEquals(8, Rest.json(trained).getAsJsonObject("parameters").get("capacity").getAsInt());
    assertEquals(1, Rest.json(trained).getAsJsonArray("outputs").size());
  }

  @Test
  void theServerAndItsModelsDescribeThemselves() throws Exception {
    assertEquals("guildhall", Rest.json(rest.get("/v2")).get("name").getAsString());
    assertTrue(Rest.json(rest.get("/v2/health/live")).get("live").getAsBoolean());
    assertTrue(Rest.json(rest.get("/v2/health/ready")).get("ready").getAsBoolean());
    assertEquals(200, rest.send(rest.request("/v2/health/ready").HEAD()).statusCode());
    for (String path : List.of(NESTED, "/v2/models/model/first")) {
      JsonObject model = Rest.json(rest.get(path));
      assertEquals("model/first", model.get("name").getAsString());
      assertEquals(
          "[{\"name\":\"hidden_states\",\"datatype\":\"FP32\",\"shape\":[-1,8]},"
              + "{\"name\":\"used_token\",\"datatype\":\"BOOL\",\"shape\":[-1]}]",
          model.get("inputs").toString());
      String version = model.getAsJsonArray("versions").get(0).getAsString();
      HttpResponse<byte[]> ready = rest.get(path + "/versions/" + version + "/ready");
      assertEquals(200, ready.statusCode());
      assertEquals("{\"name\":\"model/first\",\"ready\":true}", Rest.json(ready).toString());
      assertEquals(
          200,
          rest.post(
                  path + "/versions/" + version.substring(0, 12) + "/infer",
                  request("FP32", new float[8], 1, 8))
              .statusCode());
      assertEquals(404, rest.get(path + "/versions/1").statusCode());
    }
    assertEquals(404, rest.get("/v2/models/pear/ready").statusCode());
  }

  @Test
  void theRepositoryIsListedAndCannotBeChangedUnlessThatIsAllowed() throws Exception {
    JsonArray index = Rest.element(rest.post("/v2/repository/index", "")).getAsJsonArray();
    assertEquals(
        InferenceModels.names(),
        index.asList().stream().map(model -> field(model, "name")).toList());
    assertTrue(index.asList().stream().allMatch(model -> field(model, "state").equals("READY")));
    assertEquals(index, Rest.element(rest.post("/v2/repository/index", "{\"ready\": true}")));
    for (String path :
        List.of("/v2/repository/models/digits/unload", "/v2/repository/models/model/first/load")) {
      HttpResponse<byte[]> refused = rest.post(path, "{}");
      assertEquals(403, refused.statusCode());
      assertTrue(Rest.error(refused).contains("--oip-admin"), Rest.error(refused));
    }
    assertEquals(400, rest.post("/v2/repository/index", "[1]").statusCode());
    assertEquals(400, rest.post("/v2/repository/index", "{\"ready\": 1}").statusCode());
  }

  private static String field(JsonElement object, String name) {
    return object.getAsJsonObject().get(name).getAsString();
  }

  @Test
  void statisticsCountWhatWasServed() throws Exception {
    long before = executions(NESTED + "/stats");
    rest.post(NESTED + "/infer", request("FP32", new float[16], 2, 8));
    assertEquals(before + 1, executions(NESTED + "/stats"));
    assertEquals(3, Rest.json(rest.get("/v2/models/stats")).getAsJsonArray("model_stats").size());
  }

  private static long executions(String path) throws Exception {
    return Rest.json(rest.get(path))
        .getAsJsonArray("model_stats")
        .get(0)
        .getAsJsonObject()
        .get("execution_count")
        .getAsLong();
  }

  static Stream<Arguments> wrong() {
    String good = request("FP32", new float[8], 1, 8);
    return Stream.of(
        Arguments.of(400, "this is not a right request", ""),
        Arguments.of(400, "this is not a right request", "[]"),
        Arguments.of(400, "this is not a right request", "{\"inputs\": [{]}"),
        Arguments.of(400, "this is not a right request", "{\"inputs\": 5}"),
        Arguments.of(400, "this is not a right request", good.substring(0, good.length() - 1)),
        Arguments.of(400, "this is not a right request", good.replace("0.0", "NaN")),
        Arguments.of(400, "data has a STRING", good.replace("0.0", "\"0\"")),
        Arguments.of(400, "this is not a right request", "{'inputs': []}"),
        Arguments.of(400, "this is not a right request: malformed JSON at line 1", good + "{}"),
        Arguments.of(400, "\"inputs\" occurs twice", good.replace("}]}", "}], \"inputs\": []}")),
        Arguments.of(400, "input hidden_states is missing", "{\"inputs\": []}"),
        Arguments.of(400, "input hidden_states is missing", "{}"),
        Arguments.of(400, "hidden_states has no data", good.replace("\"data\"", "\"date\"")),
        Arguments.of(400, "hidden_states has no shape", good.replace("\"shape\"", "\"shade\"")),
        Arguments.of(400, "shape is [1, 9]", good.replace("[1, 8]", "[1, 9]")),
        Arguments.of(400, "hidden_states has 32 bytes", good.replace("[1, 8]", "[2, 8]")),
        Arguments.of(400, "datatype \"INT32\"", good.replace("FP32", "INT32")),
        Arguments.of(400, "datatype \"BYTES\"", good.replace("FP32", "BYTES")),
        Arguments.of(400, "input is \"x\"", good.replace("hidden_states", "x")),
        Arguments.of(400, "hidden_states has Infinity", good.replace("0.0", "1e999")),
        Arguments.of(400, "more than 16 dimensions", good.replace("[0.0", "[".repeat(17) + "0.0")),
        Arguments.of(
            400, "more than 16 dimensions", good.replace("[1, 8]", "[1" + ",1".repeat(16) + "]")),
        Arguments.of(
            400,
            "more than 16 tensors",
            "{\"inputs\": [" + "{\"name\": \"x\", \"data\": []},".repeat(17) + "{}]}"),
        Arguments.of(
            400,
            "the header Inference-Header-Content-Length is missing",
            good.replaceFirst("\"data\".*", "\"parameters\": {\"binary_data_size\": 32}}]}")),
        Arguments.of(
            400,
            "data beside binary_data_size",
            good.replace("\"data\"", "\"parameters\": {\"binary_data_size\": 32}, \"data\"")),
        Arguments.of(
            400,
            "shared_memory_region",
            good.replace(
                "\"data\"", "\"parameters\": {\"shared_memory_region\": \"r\"}, \"data\"")),
        Arguments.of(
            400,
            "output is \"logits\"",
            good.replace("}]}", "}], \"outputs\": [{\"name\": \"logits\"}]}")),
        Arguments.of(
            400,
            "parameter is \"trainning\"",
            good.replace("}]}", "}], \"parameters\": {\"trainning\": true}}")),
        Arguments.of(
            400,
            "parameter seed is 1.5; allowed is a whole number",
            good.replace("}]}", "}], \"parameters\": {\"seed\": 1.5}}")),
        Arguments.of(
            400,
            "data has 1.5; allowed are whole numbers",
            good.replace(
                "}]}",
                "}, {\"name\": \"used_token\", \"shape\": [1], \"data\": [1.5], \"datatype\": \"INT64\"}]}")),
        Arguments.of(
            400,
            "parameter seed is BEGIN_ARRAY; allowed is a whole number",
            good.replace("}]}", "}], \"parameters\": {\"seed\": [1]}}")),
        Arguments.of(
            400,
            "parameter binary_data_output is 1; allowed is true or false",
            good.replace("}]}", "}], \"parameters\": {\"binary_data_output\": 1}}")),
        Arguments.of(
            400,
            "tensor output has the parameter classification",
            good.replace(
                "}]}",
                "}], \"outputs\": [{\"name\": \"output\", \"parameters\": {\"classification\": 1}}]}")),
        Arguments.of(
            413,
            "which is what is allowed",
            good.replace("[1, 8]", "[1, 8" + " ".repeat(1 << 20) + "]")));
  }

  @ParameterizedTest(name = "{1}")
  @MethodSource("wrong")
  void whatIsWrongIsSaid(int status, String message, String body) throws Exception {
    HttpResponse<byte[]> response = rest.post(NESTED + "/infer", body);
    assertEquals(status, response.statusCode());
    assertTrue(Rest.error(response).contains(message), Rest.error(response));
    answersStill();
  }

  private static void answersStill() throws Exception {
    HttpResponse<byte[]> response =
        rest.post(NESTED + "/infer", request("FP32", new float[8], 1, 8));
    assertEquals(200, response.statusCode());
  }

  @ParameterizedTest
  @ValueSource(strings = {"", "0", "-1", "x", "9", "99999999999", "4294967297"})
  void aWrongLengthOfTheJsonIsRefused(String length) throws Exception {
    HttpResponse<byte[]> response =
        rest.send(
            rest.request(NESTED + "/infer")
                .header(Rest.JSON_BYTES, length)
                .POST(BodyPublishers.ofString(request("FP32", new float[8], 1, 8))));
    assertEquals(400, response.statusCode());
    assertFalse(Rest.error(response).isEmpty());
    answersStill();
  }

  @ParameterizedTest
  @ValueSource(longs = {-1, 0, 31, 33, 1L << 20, 1L << 40, Long.MAX_VALUE})
  void aWrongLengthOfBinaryDataIsRefused(long size) throws Exception {
    String json =
        "{\"inputs\": [{\"name\": \"hidden_states\", \"datatype\": \"FP32\", \"shape\": [1, 8],"
            + " \"parameters\": {\"binary_data_size\": "
            + size
            + "}}]}";
    HttpResponse<byte[]> response = rest.post(NESTED + "/infer", json, new byte[32]);
    assertEquals(size >= 1 << 20 ? 413 : 400, response.statusCode(), () -> Rest.error(response));
    answersStill();
  }

  @Test
  void aBodyThatUnpacksToTooMuchIsRefused() throws Exception {
    HttpResponse<byte[]> response =
        rest.send(
            rest.request(NESTED + "/infer")
                .header("Content-Encoding", "gzip")
                .POST(
                    BodyPublishers.ofByteArray(
                        Rest.gzip(" ".repeat(8 << 20).getBytes(StandardCharsets.UTF_8)))));
    assertEquals(413, response.statusCode(), () -> Rest.error(response));
    HttpResponse<byte[]> garbage =
        rest.send(
            rest.request(NESTED + "/infer")
                .header("Content-Encoding", "gzip")
                .POST(BodyPublishers.ofString("{}")));
    assertEquals(400, garbage.statusCode(), () -> Rest.error(garbage));
    answersStill();
  }

  @Test
  void pathsAndMethodsThatAreNotThereAreSaidSo() throws Exception {
    for (String path :
        List.of(
            "/page",
            "/page/",
            "/page/index.html",
            "/v3",
            "/v2/",
            "/v2/health/what",
            "/v2/models",
            "/v2/models/",
            "/v2/x")) {
      HttpResponse<byte[]> response = rest.get(path);
      assertEquals(404, response.statusCode(), path);
      assertFalse(Rest.error(response).isEmpty());
    }
    HttpResponse<byte[]> pear =
        rest.post("/v2/models/pear/infer", request("FP32", new float[8], 1, 8));
    assertEquals(404, pear.statusCode());
    assertTrue(Rest.error(pear).startsWith("layer is \"pear\"; there are: "));
    HttpResponse<byte[]> get = rest.get(NESTED + "/infer");
    assertEquals(405, get.statusCode());
    assertEquals("POST", get.headers().firstValue("allow").orElse(""));
    assertEquals(405, rest.post("/v2", "").statusCode());
  }

  @Test
  void headersThatAreTooLongAreRefused() throws Exception {
    assertEquals(431, rest.send(rest.request("/v2").header("x", "y".repeat(20_000))).statusCode());
  }

  private static String request(String datatype, float[] hiddenStates, long... shape) {
    return "{\"inputs\": [{\"name\": \"hidden_states\", \"datatype\": \"%s\", \"shape\": %s, \"data\": %s}]}"
        .formatted(datatype, Arrays.toString(shape), text(hiddenStates, 0, hiddenStates.length));
  }

  private static String text(float[] values, int from, int count) {
    return Arrays.toString(Arrays.copyOfRange(values, from, from + count));
  }
}
