package dev.guildhall.router.api.http;

import static dev.guildhall.error.GuildhallException.invalidArgument;

import com.google.common.io.ByteStreams;
import com.google.gson.Strictness;
import com.google.gson.stream.JsonReader;
import com.google.gson.stream.JsonToken;
import dev.guildhall.error.ErrorCode;
import dev.guildhall.error.GuildhallException;
import dev.guildhall.router.api.oip.InferCall;
import dev.guildhall.router.api.oip.InferParameters;
import dev.guildhall.router.api.oip.InferTensor;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.nio.charset.CodingErrorAction;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import org.eclipse.jetty.http.HttpException;

/**
 * Reads one request of the protocol as it comes: a JSON object and, if its length is said, the
 * binary data of its inputs behind it. Numbers go to pooled buffers and are not kept as text.
 */
final class RestCallReader {
  private static final int MAX_TENSORS = 16;
  private static final String BINARY_DATA = "binary_data";
  private static final String BINARY_DATA_OUTPUT = "binary_data_output";

  private final RequestBody body;
  private final OptionalInt jsonBytes;
  private final int mostBytes;
  private final List<RestInput> inputs = new ArrayList<>();
  private final List<String> outputs = new ArrayList<>();
  private final Map<String, Boolean> binary = new HashMap<>();
  private Map<String, Object> parameters = Map.of();
  private String id = "";

  /**
   * @param jsonBytes of the object, if binary data follows it
   */
  RestCallReader(RequestBody body, OptionalInt jsonBytes) {
    this.body = body;
    this.jsonBytes = jsonBytes;
    this.mostBytes = (int) Math.min(Integer.MAX_VALUE - 8L, body.room());
  }

  /**
   * Reads the request.
   *
   * @throws GuildhallException INVALID_ARGUMENT: what is wrong, and where
   * @throws HttpException.RuntimeException 413 if it is too large
   */
  RestCall read(String model, String version) {
    try {
      readObject();
      boolean binaryOutputs = flag(parameters, BINARY_DATA_OUTPUT).orElse(false);
      readBinary();
      // Owned by nobody else from here on: whatever may fail is done before.
      List<InferTensor> tensors = new ArrayList<>();
      try {
        for (RestInput input : inputs) {
          tensors.add(input.take());
        }
      } catch (RuntimeException | OutOfMemoryError e) {
        tensors.forEach(InferTensor::close);
        throw e;
      }
      return new RestCall(
          new InferCall(model, version, id, parameters, tensors, outputs), binaryOutputs, binary);
    } catch (IOException | IllegalStateException | NumberFormatException e) {
      throw new GuildhallException(
          ErrorCode.INVALID_ARGUMENT, "this is not a right request: " + reason(e), e);
    } finally {
      inputs.forEach(RestInput::close);
    }
  }

  /** Without what the parser advises programmers to do. */
  private static String reason(Exception e) {
    String first = String.valueOf(e.getMessage()).lines().findFirst().orElse("");
    return first.replaceFirst("Use JsonReader\\.\\S+ to accept ", "");
  }

  private void readObject() throws IOException {
    InputStream json = jsonBytes.isPresent() ? ByteStreams.limit(body, jsonBytes.getAsInt()) : body;
    InputStreamReader text =
        new InputStreamReader(
            json, StandardCharsets.UTF_8.newDecoder().onMalformedInput(CodingErrorAction.REPORT));
    JsonReader reader = new JsonReader(text);
    reader.setStrictness(Strictness.STRICT);
    JsonFields.read(
        reader,
        name -> {
          switch (name) {
            case "id" -> id = reader.nextString();
            case "parameters" -> parameters = JsonFields.parameters(reader);
            case "inputs" -> readList(reader, this::readInput);
            case "outputs" -> readList(reader, this::readOutput);
            default -> reader.skipValue();
          }
        });
    if (reader.peek() != JsonToken.END_DOCUMENT) {
      throw invalidArgument("something follows the JSON object");
    }
  }

  private interface Element {
    void read(JsonReader reader) throws IOException;
  }

  private static void readList(JsonReader reader, Element element) throws IOException {
    reader.beginArray();
    for (int i = 0; reader.hasNext(); i++) {
      if (i == MAX_TENSORS) {
        throw invalidArgument("there are more than %d tensors".formatted(MAX_TENSORS));
      }
      element.read(reader);
    }
    reader.endArray();
  }

  private void readInput(JsonReader reader) throws IOException {
    RestInput input = new RestInput();
    inputs.add(input);
    input.readObject(reader, mostBytes, jsonBytes.isPresent());
  }

  private void readOutput(JsonReader reader) throws IOException {
    Output output = new Output();
    JsonFields.read(
        reader,
        field -> {
          switch (field) {
            case "name" -> output.name = reader.nextString();
            case "parameters" -> output.parameters = JsonFields.parameters(reader);
            default -> reader.skipValue();
          }
        });
    InferParameters.checkTensor(output.name, output.parameters.keySet());
    outputs.add(output.name);
    flag(output.parameters, BINARY_DATA).ifPresent(asked -> binary.put(output.name, asked));
  }

  private static final class Output {
    private String name = "";
    private Map<String, Object> parameters = Map.of();
  }

  private static Optional<Boolean> flag(Map<String, Object> parameters, String name) {
    return switch (parameters.get(name)) {
      case null -> Optional.empty();
      case Boolean flag -> Optional.of(flag);
      case Object other ->
          throw invalidArgument(
              "parameter %s is %s; allowed is true or false".formatted(name, other));
    };
  }

  /** The inputs' binary data, in their order, and nothing behind it. */
  private void readBinary() {
    inputs.forEach(input -> input.readBinary(body));
    if (body.read() >= 0) {
      throw invalidArgument("something follows the last input's data");
    }
  }
}
