package dev.guildhall.router.api.http;

import static dev.guildhall.error.GuildhallException.invalidArgument;

import com.google.common.io.ByteStreams;
import com.google.gson.Strictness;
import com.google.gson.stream.JsonReader;
import com.google.gson.stream.JsonToken;
import dev.guildhall.error.ErrorCode;
import dev.guildhall.error.GuildhallException;
import dev.guildhall.router.api.oip.InferCall;
import dev.guildhall.router.api.oip.InferTensor;
import dev.guildhall.router.api.oip.TensorSpec;
import dev.guildhall.rpc.Buffers;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.nio.charset.CodingErrorAction;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.OptionalInt;
import java.util.Set;
import org.eclipse.jetty.http.HttpException;
import org.eclipse.jetty.http.HttpStatus;
import org.jspecify.annotations.Nullable;

/**
 * Reads one request of the protocol as it comes: a JSON object and, if its length is said, the
 * binary data of its inputs behind it. Numbers go to pooled buffers and are not kept as text.
 */
final class RestCallReader {
  private static final int MAX_TENSORS = 16;
  private static final int MAX_DIMENSIONS = 16;
  private static final int MAX_PARAMETERS = 64;
  private static final String BINARY_DATA = "binary_data";
  private static final String BINARY_DATA_SIZE = "binary_data_size";
  private static final String BINARY_DATA_OUTPUT = "binary_data_output";

  /** Parameters of a tensor that would have its content elsewhere, or make something else of it. */
  private static final Set<String> UNSUPPORTED = Set.of("shared_memory_region", "classification");

  private final RequestBody body;
  private final OptionalInt jsonBytes;
  private final int mostBytes;
  private final List<Input> inputs = new ArrayList<>();
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

  /** An input as far as it is read. */
  private static final class Input implements AutoCloseable {
    private String name = "";
    private String datatype = "";
    private @Nullable List<Long> shape;
    private Map<String, Object> parameters = Map.of();
    private @Nullable JsonElements elements;
    private ByteBuf data = Unpooled.EMPTY_BUFFER;

    /** -1: it has none. */
    private long binarySize = -1;

    /** With its data, whose ownership is transferred. */
    InferTensor take() {
      List<Long> dimensions = shape;
      if (dimensions == null) {
        throw invalidArgument("input %s has no shape".formatted(name));
      }
      TensorSpec spec = new TensorSpec(name, datatype, dimensions);
      JsonElements read = elements;
      if (read != null) {
        data = read.take(spec);
      }
      InferTensor tensor = new InferTensor(spec, data);
      data = Unpooled.EMPTY_BUFFER;
      return tensor;
    }

    @Override
    public void close() {
      if (elements != null) {
        elements.close();
      }
      data.release();
    }
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
      readBinary();
      List<InferTensor> tensors = new ArrayList<>();
      try {
        for (Input input : inputs) {
          tensors.add(input.take());
        }
      } catch (RuntimeException | OutOfMemoryError e) {
        tensors.forEach(InferTensor::close);
        throw e;
      }
      boolean binaryOutputs = Boolean.TRUE.equals(parameters.get(BINARY_DATA_OUTPUT));
      return new RestCall(
          new InferCall(model, version, id, parameters, tensors, outputs), binaryOutputs, binary);
    } catch (IOException | IllegalStateException | NumberFormatException e) {
      throw new GuildhallException(
          ErrorCode.INVALID_ARGUMENT, "this is not a right request: " + reason(e), e);
    } finally {
      inputs.forEach(Input::close);
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
    Set<String> seen = new HashSet<>();
    reader.beginObject();
    while (reader.hasNext()) {
      switch (name(reader, seen)) {
        case "id" -> id = reader.nextString();
        case "parameters" -> parameters = readParameters(reader);
        case "inputs" -> readList(reader, this::readInput);
        case "outputs" -> readList(reader, this::readOutput);
        default -> reader.skipValue();
      }
    }
    reader.endObject();
    if (reader.peek() != JsonToken.END_DOCUMENT) {
      throw invalidArgument("something follows the JSON object");
    }
  }

  private static String name(JsonReader reader, Set<String> seen) throws IOException {
    String name = reader.nextName();
    if (seen.size() >= MAX_PARAMETERS) {
      throw invalidArgument("an object has more than %d fields".formatted(MAX_PARAMETERS));
    }
    if (!seen.add(name)) {
      throw invalidArgument("\"%s\" occurs twice".formatted(name));
    }
    return name;
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
    Input input = new Input();
    inputs.add(input);
    Set<String> seen = new HashSet<>();
    reader.beginObject();
    while (reader.hasNext()) {
      switch (name(reader, seen)) {
        case "name" -> input.name = reader.nextString();
        case "datatype" -> input.datatype = reader.nextString();
        case "shape" -> input.shape = readShape(reader);
        case "parameters" -> input.parameters = readParameters(reader);
        case "data" -> {
          JsonElements elements = new JsonElements(input.datatype, mostBytes);
          input.elements = elements;
          elements.read(reader);
        }
        default -> reader.skipValue();
      }
    }
    reader.endObject();
    checkTensorParameters(input.name, input.parameters);
    input.binarySize = binarySize(input);
  }

  private long binarySize(Input input) {
    Object size = input.parameters.get(BINARY_DATA_SIZE);
    if (size == null) {
      if (input.elements == null) {
        throw invalidArgument(
            "input %s has no data; allowed is \"data\" or the parameter binary_data_size"
                .formatted(input.name));
      }
      return -1;
    }
    if (!(size instanceof Long bytes) || bytes < 0) {
      throw invalidArgument(
          "binary_data_size of input %s is %s; allowed is a number of bytes"
              .formatted(input.name, size));
    }
    if (input.elements != null) {
      throw invalidArgument(
          "input %s has data beside binary_data_size; allowed is one of the two"
              .formatted(input.name));
    }
    if (jsonBytes.isEmpty()) {
      throw invalidArgument(
          "input %s has binary data, but the header Inference-Header-Content-Length is missing"
              .formatted(input.name));
    }
    return bytes;
  }

  private void readOutput(JsonReader reader) throws IOException {
    String output = "";
    Map<String, Object> said = Map.of();
    Set<String> seen = new HashSet<>();
    reader.beginObject();
    while (reader.hasNext()) {
      switch (name(reader, seen)) {
        case "name" -> output = reader.nextString();
        case "parameters" -> said = readParameters(reader);
        default -> reader.skipValue();
      }
    }
    reader.endObject();
    checkTensorParameters(output, said);
    outputs.add(output);
    Object asked = said.get(BINARY_DATA);
    if (asked instanceof Boolean as) {
      binary.put(output, as);
    } else if (asked != null) {
      throw invalidArgument(
          "binary_data of output %s is %s; allowed is true or false".formatted(output, asked));
    }
  }

  private static void checkTensorParameters(String tensor, Map<String, Object> parameters) {
    for (String name : parameters.keySet()) {
      if (UNSUPPORTED.contains(name)) {
        throw invalidArgument(
            "tensor %s has the parameter %s, which this server does not support"
                .formatted(tensor, name));
      }
    }
  }

  private static List<Long> readShape(JsonReader reader) throws IOException {
    List<Long> shape = new ArrayList<>();
    reader.beginArray();
    while (reader.hasNext()) {
      if (shape.size() == MAX_DIMENSIONS) {
        throw invalidArgument(
            "shape has more than %d dimensions, which is what is allowed"
                .formatted(MAX_DIMENSIONS));
      }
      shape.add(reader.nextLong());
    }
    reader.endArray();
    return shape;
  }

  private static Map<String, Object> readParameters(JsonReader reader) throws IOException {
    Map<String, Object> parameters = new HashMap<>();
    Set<String> seen = new HashSet<>();
    reader.beginObject();
    while (reader.hasNext()) {
      String name = name(reader, seen);
      JsonToken token = reader.peek();
      switch (token) {
        case BOOLEAN -> parameters.put(name, reader.nextBoolean());
        case NUMBER -> parameters.put(name, number(reader.nextString()));
        case STRING -> parameters.put(name, reader.nextString());
        default -> reader.skipValue(); // As the clients of other servers nest theirs.
      }
    }
    reader.endObject();
    return parameters;
  }

  private static Object number(String text) {
    if (text.chars().allMatch(c -> c == '-' || Character.isDigit(c))) {
      return text.startsWith("-") ? Long.parseLong(text) : Long.parseUnsignedLong(text);
    }
    return Double.parseDouble(text);
  }

  /** The inputs' binary data, in their order, and nothing behind it. */
  private void readBinary() throws IOException {
    for (Input input : inputs) {
      if (input.binarySize > body.room()) {
        throw new HttpException.RuntimeException(
            HttpStatus.PAYLOAD_TOO_LARGE_413,
            "input %s has %d bytes; allowed are %d after what came before"
                .formatted(input.name, input.binarySize, body.room()));
      }
      if (input.binarySize > 0) {
        input.data = Buffers.allocate((int) input.binarySize).clear();
        body.readFully(input.data);
      }
    }
    if (body.read() >= 0) {
      throw invalidArgument("something follows the last input's data");
    }
  }
}
