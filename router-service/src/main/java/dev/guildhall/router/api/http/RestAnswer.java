package dev.guildhall.router.api.http;

import com.google.gson.stream.JsonWriter;
import dev.guildhall.error.ErrorCode;
import dev.guildhall.error.GuildhallException;
import dev.guildhall.router.api.oip.InferAnswer;
import dev.guildhall.router.api.oip.InferTensor;
import dev.guildhall.router.api.oip.TensorSpec;
import io.netty.buffer.ByteBuf;
import java.io.IOException;
import java.io.OutputStream;
import java.io.OutputStreamWriter;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;
import java.util.function.Predicate;

/**
 * An answer of the protocol as JSON, and as the binary data behind it. Does not own the answer.
 *
 * @param isBinary by the name of an output
 */
record RestAnswer(InferAnswer answer, Predicate<String> isBinary) {
  private static final int BF16_SHIFT = 16;

  /** The outputs whose data goes behind the JSON object, in order. */
  List<InferTensor> binary() {
    return answer.outputs().stream().filter(output -> isBinary.test(output.spec().name())).toList();
  }

  /**
   * To be asked before anything is written.
   *
   * @throws GuildhallException INTERNAL for an output that JSON has no numbers for
   */
  void check() {
    for (InferTensor output : answer.outputs()) {
      if (!isBinary.test(output.spec().name())) {
        checkFinite(output);
      }
    }
  }

  /** Writes the JSON object. */
  void writeJson(OutputStream out) throws IOException {
    JsonWriter json = new JsonWriter(new OutputStreamWriter(out, StandardCharsets.UTF_8));
    json.beginObject();
    json.name("model_name").value(answer.layer().name());
    json.name("model_version").value(answer.layer().digest());
    if (!answer.id().isEmpty()) {
      json.name("id").value(answer.id());
    }
    writeParameters(json, answer.parameters());
    json.name("outputs").beginArray();
    for (InferTensor output : answer.outputs()) {
      write(json, output);
    }
    json.endArray();
    json.endObject();
    json.flush();
  }

  private static void writeParameters(JsonWriter json, Map<String, Object> parameters)
      throws IOException {
    json.name("parameters").beginObject();
    for (Map.Entry<String, Object> parameter : parameters.entrySet()) {
      json.name(parameter.getKey());
      if (parameter.getValue() instanceof Long whole) {
        json.value(whole);
      } else {
        json.value(parameter.getValue().toString());
      }
    }
    json.endObject();
  }

  private void write(JsonWriter json, InferTensor output) throws IOException {
    TensorSpec spec = output.spec();
    json.beginObject();
    json.name("name").value(spec.name());
    json.name("datatype").value(spec.datatype());
    json.name("shape").beginArray();
    for (long dimension : spec.shape()) {
      json.value(dimension);
    }
    json.endArray();
    if (isBinary.test(spec.name())) {
      long bytes = output.data().readableBytes();
      writeParameters(json, Map.of("binary_data_size", bytes));
    } else {
      json.name("data").beginArray();
      writeElements(json, output);
      json.endArray();
    }
    json.endObject();
  }

  private static void writeElements(JsonWriter json, InferTensor output) throws IOException {
    ByteBuf data = output.data().duplicate();
    if (output.spec().datatype().equals("INT64")) {
      while (data.isReadable()) {
        json.value(data.readLongLE());
      }
    } else {
      while (data.isReadable()) {
        json.value(readFloat(output.spec(), data));
      }
    }
  }

  private static void checkFinite(InferTensor output) {
    if (output.spec().datatype().equals("INT64")) {
      return;
    }
    ByteBuf data = output.data().duplicate();
    for (int i = 0; data.isReadable(); i++) {
      float value = readFloat(output.spec(), data);
      if (!Float.isFinite(value)) {
        throw new GuildhallException(
            ErrorCode.INTERNAL,
            "%s has %s at element %d, which JSON has no number for; ask for it as binary data"
                .formatted(output.spec().name(), value, i));
      }
    }
  }

  private static float readFloat(TensorSpec spec, ByteBuf data) {
    return switch (spec.datatype()) {
      case "FP16" -> Float.float16ToFloat(data.readShortLE());
      case "BF16" -> Float.intBitsToFloat(data.readShortLE() << BF16_SHIFT);
      default -> data.readFloatLE();
    };
  }
}
