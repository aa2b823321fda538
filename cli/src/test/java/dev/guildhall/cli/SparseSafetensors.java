package dev.guildhall.cli;

import static java.nio.charset.StandardCharsets.UTF_8;

import com.google.gson.Gson;
import com.google.gson.JsonObject;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.List;
import java.util.Map;

/** Files of any size, all of zeros. */
final class SparseSafetensors {
  private SparseSafetensors() {}

  /**
   * Writes a file that takes no room on the disk.
   *
   * @param shapes of fp32 tensors of zeros, by name
   * @param restBytes of one more tensor
   */
  static void write(Path file, Map<String, List<Long>> shapes, long restBytes) throws IOException {
    JsonObject header = new JsonObject();
    long offset = 0;
    for (Map.Entry<String, List<Long>> entry : shapes.entrySet()) {
      offset = addEntry(header, entry.getKey(), "F32", entry.getValue(), offset, 4);
    }
    long end = addEntry(header, "model.rest", "U8", List.of(restBytes), offset, 1);
    String text = header.toString();
    byte[] json = (text + " ".repeat(-text.length() & 7)).getBytes(UTF_8);
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
}
