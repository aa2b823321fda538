package dev.guildhall.safetensors;

import com.google.gson.JsonArray;
import com.google.gson.JsonObject;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.Map;

/** Writes .safetensors files. */
public final class SafetensorsWriter {
  private static final int ALIGNMENT = 8;

  /** An interrupt is heeded between two. */
  private static final long CHUNK_BYTES = 64L << 20;

  private SafetensorsWriter() {}

  /**
   * Writes a file, which appears under its name only when it is whole.
   *
   * @param tensors by name; written in this order, each made only when it is its turn
   */
  public static void write(
      Path path, Map<String, ? extends TensorSource> tensors, Map<String, String> metadata)
      throws IOException {
    if (tensors.containsKey(SafetensorsHeader.METADATA)) {
      throw new IllegalArgumentException(
          "a tensor is called %s; the format keeps that name"
              .formatted(SafetensorsHeader.METADATA));
    }
    Path partial = path.resolveSibling(path.getFileName() + ".partial");
    try (FileChannel channel =
        FileChannel.open(
            partial,
            StandardOpenOption.CREATE,
            StandardOpenOption.TRUNCATE_EXISTING,
            StandardOpenOption.WRITE)) {
      writeFully(channel, header(tensors, metadata));
      for (TensorSource tensor : tensors.values()) {
        try (Arena arena = Arena.ofConfined()) {
          writeData(channel, tensor.read(arena));
        }
      }
    } catch (IOException e) {
      Files.deleteIfExists(partial);
      throw new IOException("%s cannot be written: %s".formatted(path, e.getMessage()), e);
    } catch (RuntimeException | Error e) {
      Files.deleteIfExists(partial);
      throw e;
    }
    Files.move(partial, path, StandardCopyOption.REPLACE_EXISTING, StandardCopyOption.ATOMIC_MOVE);
  }

  private static ByteBuffer header(
      Map<String, ? extends TensorSource> tensors, Map<String, String> metadata) {
    JsonObject header = new JsonObject();
    if (!metadata.isEmpty()) {
      JsonObject object = new JsonObject();
      metadata.forEach(object::addProperty);
      header.add(SafetensorsHeader.METADATA, object);
    }
    long offset = 0;
    for (Map.Entry<String, ? extends TensorSource> entry : tensors.entrySet()) {
      TensorSource tensor = entry.getValue();
      long end = offset + tensor.bytes();
      JsonObject object = new JsonObject();
      object.addProperty("dtype", tensor.dtype().safetensorsName());
      JsonArray shape = new JsonArray();
      tensor.shape().forEach(shape::add);
      object.add("shape", shape);
      JsonArray offsets = new JsonArray();
      offsets.add(offset);
      offsets.add(end);
      object.add("data_offsets", offsets);
      header.add(entry.getKey(), object);
      offset = end;
    }
    byte[] json = header.toString().getBytes(StandardCharsets.UTF_8);
    int padded = Math.ceilDiv(json.length, ALIGNMENT) * ALIGNMENT;
    ByteBuffer bytes =
        ByteBuffer.allocate(Long.BYTES + padded).order(ByteOrder.LITTLE_ENDIAN).putLong(padded);
    bytes.put(json);
    while (bytes.hasRemaining()) {
      bytes.put((byte) ' ');
    }
    return bytes.flip();
  }

  private static void writeData(FileChannel channel, StoredTensor tensor) throws IOException {
    long bytes = tensor.data().byteSize();
    for (long done = 0; done < bytes; done += CHUNK_BYTES) {
      long step = Math.min(CHUNK_BYTES, bytes - done);
      writeFully(channel, bytes(tensor.data().asSlice(done, step)));
    }
  }

  /** A view, or a copy of what lies in an array of other elements than bytes. */
  private static ByteBuffer bytes(MemorySegment data) {
    return data.isNative() || data.heapBase().orElse(data) instanceof byte[]
        ? data.asByteBuffer()
        : ByteBuffer.wrap(data.toArray(ValueLayout.JAVA_BYTE));
  }

  private static void writeFully(FileChannel channel, ByteBuffer bytes) throws IOException {
    while (bytes.hasRemaining()) {
      channel.write(bytes);
    }
  }
}
