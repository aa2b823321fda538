package dev.guildhall.checkpoint.torch;

import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;

/**
 * Writes zip archives, right ones as torch.save does and, what the JDK's writer would refuse, wrong
 * ones.
 */
final class ZipWriter {
  private final ByteArrayOutputStream file = new ByteArrayOutputStream();
  private final List<byte[]> directory = new ArrayList<>();
  private final boolean zip64;

  ZipWriter() {
    this(false);
  }

  /** With every number in the zip64 fields, as in archives beyond 4 GiB. */
  ZipWriter(boolean zip64) {
    this.zip64 = zip64;
  }

  /** An archive of torch.save; each storage is a key and its bytes. */
  static byte[] torch(byte[] pickle, Object... keysAndStorages) {
    ZipWriter zip = new ZipWriter().add("t/data.pkl", pickle);
    for (int i = 0; i < keysAndStorages.length; i += 2) {
      zip.add("t/data/" + keysAndStorages[i], (byte[]) keysAndStorages[i + 1]);
    }
    return zip.add("t/version", "3\n").end();
  }

  ZipWriter add(String name, String text) {
    return add(name, text.getBytes(StandardCharsets.US_ASCII));
  }

  ZipWriter add(String name, byte[] data) {
    return add(name, name, data, 0, data.length, 0);
  }

  /** An entry that is stored, whatever it says of itself. */
  ZipWriter add(String name, String localName, byte[] data, int method, long bytes, int flags) {
    byte[] utf8 = name.getBytes(StandardCharsets.UTF_8);
    byte[] localUtf8 = localName.getBytes(StandardCharsets.UTF_8);
    long offset = file.size();
    // As torch does: sizes in a descriptor behind the data, which begin at a multiple of 64.
    int padding = (int) (-(offset + 30 + localUtf8.length + 4) & 63);
    file.writeBytes(
        buffer(30)
            .putInt(0x04034b50)
            .putShort((short) 0)
            .putShort((short) (flags | 0x808))
            .putShort((short) method)
            .putInt(0)
            .putInt(0)
            .putInt(0)
            .putInt(0)
            .putShort((short) localUtf8.length)
            .putShort((short) (4 + padding))
            .array());
    file.writeBytes(localUtf8);
    file.writeBytes(buffer(4 + padding).putShort((short) 0x4246).putShort((short) padding).array());
    file.writeBytes(data);
    ByteBuffer extra = buffer(zip64 ? 28 : 0);
    if (zip64) {
      extra.putShort((short) 1).putShort((short) 24).putLong(bytes).putLong(data.length);
      extra.putLong(offset);
    }
    ByteBuffer central =
        buffer(46 + utf8.length + extra.capacity())
            .putInt(0x02014b50)
            .putInt(0)
            .putShort((short) (flags | 0x808))
            .putShort((short) method)
            .putInt(0)
            .putInt(0)
            .putInt(zip64 ? -1 : data.length)
            .putInt(zip64 ? -1 : (int) bytes)
            .putShort((short) utf8.length)
            .putShort((short) extra.capacity())
            .putShort((short) 0)
            .putShort((short) 0)
            .putShort((short) 0)
            .putInt(0)
            .putInt(zip64 ? -1 : (int) offset)
            .put(utf8)
            .put(extra.flip());
    directory.add(bytes(central));
    return this;
  }

  byte[] end() {
    return end("");
  }

  byte[] end(String comment) {
    long begin = file.size();
    directory.forEach(file::writeBytes);
    long bytes = file.size() - begin;
    if (zip64) {
      long record = file.size();
      file.writeBytes(
          buffer(56 + 20)
              .putInt(0x06064b50)
              .putLong(44)
              .putInt(0)
              .putLong(0)
              .putLong(directory.size())
              .putLong(directory.size())
              .putLong(bytes)
              .putLong(begin)
              .putInt(0x07064b50)
              .putInt(0)
              .putLong(record)
              .putInt(1)
              .array());
    }
    file.writeBytes(
        buffer(22)
            .putInt(0x06054b50)
            .putInt(0)
            .putShort((short) (zip64 ? -1 : directory.size()))
            .putShort((short) (zip64 ? -1 : directory.size()))
            .putInt(zip64 ? -1 : (int) bytes)
            .putInt(zip64 ? -1 : (int) begin)
            .putShort((short) comment.length())
            .array());
    file.writeBytes(comment.getBytes(StandardCharsets.US_ASCII));
    return file.toByteArray();
  }

  private static byte[] bytes(ByteBuffer full) {
    byte[] bytes = new byte[full.flip().remaining()];
    full.get(bytes);
    return bytes;
  }

  private static ByteBuffer buffer(int bytes) {
    return ByteBuffer.allocate(bytes).order(ByteOrder.LITTLE_ENDIAN);
  }
}
