package dev.guildhall.router.gate;

import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;

/** A golden case in memory, for tests. */
record SafetensorsFile(JsonObject header, ByteBuffer data) {

  static SafetensorsFile resource(String name) {
    try (InputStream in = SafetensorsFile.class.getResourceAsStream(name)) {
      if (in == null) {
        throw new IllegalArgumentException("no resource " + name);
      }
      ByteBuffer file = ByteBuffer.wrap(in.readAllBytes()).order(ByteOrder.LITTLE_ENDIAN);
      byte[] json = new byte[Math.toIntExact(file.getLong())];
      file.get(json);
      return new SafetensorsFile(
          JsonParser.parseString(new String(json, StandardCharsets.UTF_8)).getAsJsonObject(),
          file.slice().order(ByteOrder.LITTLE_ENDIAN));
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  String metadata(String key) {
    return header.getAsJsonObject("__metadata__").get(key).getAsString();
  }

  boolean has(String tensor) {
    return header.has(tensor);
  }

  float[] floats(String tensor) {
    ByteBuffer bytes = bytes(tensor);
    float[] values = new float[bytes.remaining() / Float.BYTES];
    bytes.asFloatBuffer().get(values);
    return values;
  }

  int[] ints(String tensor) {
    ByteBuffer bytes = bytes(tensor);
    int[] values = new int[bytes.remaining() / Integer.BYTES];
    bytes.asIntBuffer().get(values);
    return values;
  }

  long[] longs(String tensor) {
    ByteBuffer bytes = bytes(tensor);
    long[] values = new long[bytes.remaining() / Long.BYTES];
    bytes.asLongBuffer().get(values);
    return values;
  }

  private ByteBuffer bytes(String tensor) {
    var offsets = header.getAsJsonObject(tensor).getAsJsonArray("data_offsets");
    int start = offsets.get(0).getAsInt();
    return data.slice(start, offsets.get(1).getAsInt() - start).order(ByteOrder.LITTLE_ENDIAN);
  }
}
