package dev.guildhall.router.api.http;

import static dev.guildhall.error.GuildhallException.invalidArgument;

import com.google.gson.stream.JsonReader;
import dev.guildhall.router.api.oip.InferParameters;
import dev.guildhall.router.api.oip.InferTensor;
import dev.guildhall.router.api.oip.TensorSpec;
import dev.guildhall.rpc.Buffers;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.eclipse.jetty.http.HttpException;
import org.eclipse.jetty.http.HttpStatus;
import org.jspecify.annotations.Nullable;

/** An input as far as it is read: its JSON first, and its binary data later, if that follows. */
final class RestInput implements AutoCloseable {
  private static final int MAX_DIMENSIONS = 16;
  private static final String BINARY_DATA_SIZE = "binary_data_size";

  private String name = "";
  private String datatype = "";
  private @Nullable List<Long> shape;
  private Map<String, Object> parameters = Map.of();
  private @Nullable JsonElements elements;
  private ByteBuf data = Unpooled.EMPTY_BUFFER;
  private long binarySize;

  /**
   * Reads the JSON object.
   *
   * @param mostBytes of the data, as FP32
   * @param binaryFollows whether binary data may follow
   */
  void readObject(JsonReader reader, int mostBytes, boolean binaryFollows) throws IOException {
    JsonFields.read(
        reader,
        field -> {
          switch (field) {
            case "name" -> name = reader.nextString();
            case "datatype" -> datatype = reader.nextString();
            case "shape" -> shape = readShape(reader);
            case "parameters" -> parameters = JsonFields.parameters(reader);
            case "data" -> {
              JsonElements read = new JsonElements(datatype, mostBytes);
              elements = read;
              read.read(reader);
            }
            default -> reader.skipValue();
          }
        });
    InferParameters.checkTensor(name, parameters.keySet());
    binarySize = binarySize(binaryFollows);
  }

  /** 0 for none, too. */
  private long binarySize(boolean binaryFollows) {
    Object size = parameters.get(BINARY_DATA_SIZE);
    if (size == null) {
      if (elements == null) {
        throw invalidArgument(
            "input %s has no data; allowed is \"data\" or the parameter binary_data_size"
                .formatted(name));
      }
      return 0;
    }
    if (!(size instanceof Long bytes) || bytes < 0) {
      throw invalidArgument(
          "binary_data_size of input %s is %s; allowed is a number of bytes".formatted(name, size));
    }
    if (elements != null) {
      throw invalidArgument(
          "input %s has data beside binary_data_size; allowed is one of the two".formatted(name));
    }
    if (!binaryFollows) {
      throw invalidArgument(
          "input %s has binary data, but the header Inference-Header-Content-Length is missing"
              .formatted(name));
    }
    return bytes;
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

  /** Reads the binary data, if there is any. */
  void readBinary(RequestBody body) {
    if (binarySize > body.room()) {
      throw new HttpException.RuntimeException(
          HttpStatus.PAYLOAD_TOO_LARGE_413,
          "input %s has %d bytes; allowed are %d after what came before"
              .formatted(name, binarySize, body.room()));
    }
    if (binarySize > 0) {
      data = Buffers.allocate((int) binarySize).clear();
      body.readFully(data);
    }
  }

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
