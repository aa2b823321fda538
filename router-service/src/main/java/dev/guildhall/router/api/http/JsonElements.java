package dev.guildhall.router.api.http;

import static dev.guildhall.error.GuildhallException.invalidArgument;

import com.google.gson.stream.JsonReader;
import com.google.gson.stream.JsonToken;
import dev.guildhall.router.api.oip.TensorSpec;
import dev.guildhall.rpc.Buffers;
import dev.guildhall.rpc.WireFloats;
import dev.guildhall.tensor.DType;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import java.io.IOException;
import org.eclipse.jetty.http.HttpException;
import org.eclipse.jetty.http.HttpStatus;

/**
 * The elements of a tensor in JSON, flat or nested, as they are read. An object's fields may come
 * in any order, so that the datatype may not be known yet: they are kept as doubles then.
 */
final class JsonElements implements AutoCloseable {
  private static final int MAX_DEPTH = 16;

  private enum Form {
    FP32(Float.BYTES),
    INT64(Long.BYTES),
    BOOL(1),
    ANY(Double.BYTES);

    private final int bytes;

    Form(int bytes) {
      this.bytes = bytes;
    }
  }

  private final Form form;
  private final int most;
  private ByteBuf data;

  /**
   * @param datatype empty: not known yet
   * @param most bytes that the tensor may have as FP32
   */
  JsonElements(String datatype, int most) {
    this.form =
        switch (datatype) {
          case "FP32", "FP16", "BF16" -> Form.FP32;
          case "INT64" -> Form.INT64;
          case "BOOL" -> Form.BOOL;
          default -> Form.ANY;
        };
    this.most = (int) Math.min(Integer.MAX_VALUE - 8L, most / Float.BYTES * (long) form.bytes);
    this.data = Buffers.allocateGrowing(this.most);
  }

  /** Reads an array. */
  void read(JsonReader reader) throws IOException {
    read(reader, 1);
  }

  private void read(JsonReader reader, int depth) throws IOException {
    if (depth > MAX_DEPTH) {
      throw invalidArgument(
          "data has more than %d dimensions, which is what is allowed".formatted(MAX_DEPTH));
    }
    reader.beginArray();
    while (reader.hasNext()) {
      JsonToken token = reader.peek();
      if (token == JsonToken.BEGIN_ARRAY) {
        read(reader, depth + 1);
      } else if (token == JsonToken.BOOLEAN) {
        add(reader.nextBoolean() ? "1" : "0");
      } else if (token == JsonToken.NUMBER) {
        add(reader.nextString());
      } else {
        throw invalidArgument("data has a %s; allowed are numbers".formatted(token));
      }
    }
    reader.endArray();
  }

  private void add(String number) {
    if (data.writerIndex() + form.bytes > most) {
      throw new HttpException.RuntimeException(
          HttpStatus.PAYLOAD_TOO_LARGE_413,
          "data has more than %d elements, which is what is allowed".formatted(most / form.bytes));
    }
    switch (form) {
      case FP32 -> data.writeFloatLE(Float.parseFloat(number));
      case INT64 -> data.writeLongLE(Long.parseLong(number));
      case BOOL -> data.writeByte(Byte.parseByte(number));
      case ANY -> data.writeDoubleLE(Double.parseDouble(number));
    }
  }

  /** The tensor's bytes; ownership is transferred to the caller. */
  ByteBuf take(TensorSpec spec) {
    ByteBuf taken =
        switch (spec.datatype()) {
          case "FP32" -> converted(Form.FP32);
          case "FP16" -> WireFloats.fromFp32(converted(Form.FP32), DType.FP16);
          case "BF16" -> WireFloats.fromFp32(converted(Form.FP32), DType.BF16);
          case "INT64" -> converted(Form.INT64);
          case "BOOL" -> converted(Form.BOOL);
          default -> data; // Refused with the rest.
        };
    // Or taken over by what made another of it.
    data = Unpooled.EMPTY_BUFFER;
    return taken;
  }

  private ByteBuf converted(Form wanted) {
    if (form == wanted) {
      return data;
    }
    int elements = data.readableBytes() / form.bytes;
    if (wanted == Form.INT64) {
      checkWhole(elements);
    }
    ByteBuf converted = Buffers.allocate(Math.multiplyExact(elements, wanted.bytes)).clear();
    for (int i = 0; i < elements; i++) {
      double value = data.getDoubleLE(i * Double.BYTES);
      switch (wanted) {
        case FP32 -> converted.writeFloatLE((float) value);
        case INT64 -> converted.writeLongLE((long) value);
        // Anything but 0 and 1 is refused with the rest.
        case BOOL -> converted.writeByte(value == 0 ? 0 : value == 1 ? 1 : 2);
        case ANY -> throw new IllegalStateException("nobody wants doubles");
      }
    }
    data.release();
    return converted;
  }

  private void checkWhole(int elements) {
    for (int i = 0; i < elements; i++) {
      double value = data.getDoubleLE(i * Double.BYTES);
      if (value != Math.rint(value)) {
        throw invalidArgument("data has %s; allowed are whole numbers".formatted(value));
      }
    }
  }

  @Override
  public void close() {
    data.release();
  }
}
