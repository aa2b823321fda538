package dev.guildhall.checkpoint.torch;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.guildhall.error.ErrorCode;
import dev.guildhall.error.GuildhallException;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.SeekableByteChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Arrays;
import java.util.Set;
import java.util.SplittableRandom;
import java.util.stream.IntStream;
import java.util.zip.CRC32;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

class ZipTroubleTest {
  private static final byte[] PICKLE =
      new PickleWriter().dict().text("w").vector("ByteStorage", "0", 4).endDict().end();
  private static final byte[] STORAGE = {1, 2, 3, 4};

  @TempDir Path folder;

  private static ZipWriter right(boolean zip64) {
    return new ZipWriter(zip64).add("t/data.pkl", PICKLE).add("t/data/0", STORAGE);
  }

  private void read(byte[] bytes) throws IOException {
    Path path = Files.write(folder.resolve("right.pt"), bytes);
    try (TorchFile file = TorchFile.open(path)) {
      assertEquals(Set.of("w"), file.tensors().keySet());
      assertArrayEquals(STORAGE, file.tensor("w").data().toArray(ValueLayout.JAVA_BYTE));
    }
  }

  private void refused(byte[] bytes, String why) throws IOException {
    RefusedFile.check(folder, bytes, why);
  }

  @Test
  void readsArchivesWithAndWithoutZip64AndComment() throws IOException {
    read(right(false).end());
    read(right(true).end());
    read(right(false).end("a comment"));
    read(right(true).end("a comment"));
    read(right(false).add("t/byteorder", "little").add("t/version", "3\n").end());
    read(right(false).add("t/.data/serialization_id", "123").add("t/empty/", "").end());
  }

  @Test
  void readsWhatTheJdkWroteStored() throws IOException {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    try (ZipOutputStream zip = new ZipOutputStream(bytes)) {
      zip.setMethod(ZipOutputStream.STORED);
      for (String name : new String[] {"t/data.pkl", "t/data/0"}) {
        byte[] data = name.endsWith("0") ? STORAGE : PICKLE;
        CRC32 crc = new CRC32();
        crc.update(data);
        ZipEntry entry = new ZipEntry(name);
        entry.setSize(data.length);
        entry.setCrc(crc.getValue());
        zip.putNextEntry(entry);
        zip.write(data);
      }
    }
    read(bytes.toByteArray());
  }

  @Test
  void readsTensorsBehindFourGibibytes() throws IOException {
    // A sparse file: a right archive whose storage and directory are moved far back.
    byte[] near = right(true).end();
    Path path = folder.resolve("large.pt");
    long gap = (5L << 30) - 64;
    int storage = indexOf(near, "t/data/0") - 30;
    int directory = indexOf(near, "PK\1\2");
    ByteBuffer tail =
        ByteBuffer.wrap(Arrays.copyOfRange(near, storage, near.length))
            .order(ByteOrder.LITTLE_ENDIAN);
    int from = directory - storage;
    int second = from + 46 + "t/data.pkl".length() + 28;
    int secondOffset = second + 46 + "t/data/0".length() + 20;
    tail.putLong(secondOffset, tail.getLong(secondOffset) + gap);
    int end64 = tail.capacity() - 22 - 20 - 56;
    tail.putLong(end64 + 48, tail.getLong(end64 + 48) + gap);
    tail.putLong(end64 + 56 + 8, tail.getLong(end64 + 56 + 8) + gap);
    try (SeekableByteChannel channel =
        Files.newByteChannel(path, StandardOpenOption.CREATE, StandardOpenOption.WRITE)) {
      channel.write(ByteBuffer.wrap(near, 0, storage));
      channel.position(storage + gap).write(tail);
    }
    try (TorchFile file = TorchFile.open(path)) {
      assertArrayEquals(STORAGE, file.tensor("w").data().toArray(ValueLayout.JAVA_BYTE));
    }
  }

  private static int indexOf(byte[] bytes, String text) {
    return new String(bytes, StandardCharsets.ISO_8859_1).indexOf(text);
  }

  static IntStream lengths() {
    return IntStream.range(0, right(true).end().length);
  }

  @ParameterizedTest(name = "{0} bytes")
  @MethodSource("lengths")
  void refusesATruncatedFile(int length) throws IOException {
    refused(Arrays.copyOf(right(true).end(), length), length < 4 ? "no zip archive" : "cut off");
  }

  @Test
  void refusesCutOffStorages() throws IOException {
    byte[] zip = right(false).end();
    int storage = indexOf(zip, "t/data/0");
    byte[] cut = Arrays.copyOf(zip, zip.length - 2);
    System.arraycopy(zip, storage + 2, cut, storage, zip.length - storage - 2);
    refused(cut, "directory does not lie inside");
  }

  @Test
  void refusesAnEntryTwice() throws IOException {
    refused(right(false).add("t/data/0", STORAGE).end(), "has the entry \"t/data/0\" twice");
  }

  @Test
  void refusesSeveralPicklesOrNone() throws IOException {
    refused(right(false).add("u/data.pkl", PICKLE).end(), "2 entries NAME/data.pkl");
    refused(new ZipWriter().add("data.pkl", PICKLE).end(), "0 entries NAME/data.pkl");
    refused(new ZipWriter().add("a/b/data.pkl", PICKLE).end(), "0 entries NAME/data.pkl");
  }

  @Test
  void refusesCompressedEntries() throws IOException {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    try (ZipOutputStream zip = new ZipOutputStream(bytes)) {
      zip.putNextEntry(new ZipEntry("t/data.pkl"));
      zip.write(PICKLE);
    }
    refused(bytes.toByteArray(), "data.pkl is compressed");
    refused(
        new ZipWriter()
            .add("t/data.pkl", PICKLE)
            .add("t/data/0", "t/data/0", STORAGE, 8, 4, 0)
            .end(),
        "tensor \"w\": data/0 is compressed");
  }

  @Test
  void refusesEncryptedEntries() throws IOException {
    refused(right(false).add("t/x", "t/x", STORAGE, 0, 4, 1).end(), "entry \"t/x\" is encrypted");
  }

  @Test
  void refusesEntriesWhoseTwoHeadersDisagree() throws IOException {
    refused(
        right(false).add("t/x", "t/y", STORAGE, 0, 4, 0).end(), "entry \"t/x\" has another name");
    refused(
        right(false).add("t/x", "t/x", STORAGE, 0, 5, 0).end(),
        "entry \"t/x\" has 5 bytes and takes 4");
  }

  @Test
  void refusesOtherByteOrdersAndVersions() throws IOException {
    refused(right(false).add("t/byteorder", "big").end(), "byte order is \"big\"");
    refused(right(false).add("t/version", "11").end(), "version is \"11\"; allowed are 1 to 10");
    refused(right(false).add("t/version", "x").end(), "version is \"x\"");
    refused(right(false).add("t/version", "9".repeat(65)).end(), "65 bytes; allowed are up to 64");
  }

  @Test
  void refusesTorchScript() throws IOException {
    refused(right(false).add("t/constants.pkl", PICKLE).end(), "TorchScript");
    refused(right(false).add("t/code/x.py", "").end(), "TorchScript");
  }

  static IntStream seeds() {
    return IntStream.range(0, 400);
  }

  @ParameterizedTest(name = "seed {0}")
  @MethodSource("seeds")
  void readsOrRefusesAChangedFileButNeverFailsOtherwise(int seed) throws IOException {
    SplittableRandom random = new SplittableRandom(seed);
    byte[] bytes = right(random.nextBoolean()).end();
    int tail = indexOf(bytes, "PK\1\2");
    for (int flips = random.nextInt(4); flips >= 0; flips--) {
      // Mostly in the directory, whose numbers say where all the rest is.
      int at =
          random.nextInt(4) == 0
              ? random.nextInt(bytes.length)
              : tail + random.nextInt(bytes.length - tail);
      bytes[at] = (byte) (random.nextBoolean() ? random.nextInt() : -random.nextInt(2));
    }
    Path path = Files.write(folder.resolve("changed.pt"), bytes);
    try (TorchFile file = TorchFile.open(path)) {
      file.tensors().values().forEach(tensor -> tensor.data().toArray(ValueLayout.JAVA_BYTE));
    } catch (GuildhallException e) {
      assertEquals(ErrorCode.INVALID_ARGUMENT, e.code());
    }
  }
}
