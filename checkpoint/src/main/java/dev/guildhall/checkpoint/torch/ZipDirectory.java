package dev.guildhall.checkpoint.torch;

import static dev.guildhall.checkpoint.torch.Refusal.check;
import static dev.guildhall.checkpoint.torch.Refusal.shown;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * The entries of a zip archive and where their data lie in the mapped file, which the JDK's own
 * readers do not tell. Reads the central directory (PKWARE's APPNOTE 6.3, section 4.3), with zip64,
 * and checks it against the local headers and the file's size; touches no data.
 */
final class ZipDirectory {
  /** More than a hundred times what the largest checkpoints take. */
  private static final long MAX_DIRECTORY_BYTES = 128 << 20;

  private static final long MAX_ENTRIES = 1_000_000;

  private static final ValueLayout.OfShort U16 =
      ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
  private static final ValueLayout.OfInt U32 =
      ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
  private static final ValueLayout.OfLong U64 =
      ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

  private static final int LOCAL_SIGNATURE = 0x04034b50;
  private static final int CENTRAL_SIGNATURE = 0x02014b50;
  private static final int END_SIGNATURE = 0x06054b50;
  private static final int END64_SIGNATURE = 0x06064b50;
  private static final int LOCATOR64_SIGNATURE = 0x07064b50;
  private static final int LOCAL_BYTES = 30;
  private static final int CENTRAL_BYTES = 46;
  private static final int END_BYTES = 22;
  private static final int END64_BYTES = 56;
  private static final int LOCATOR64_BYTES = 20;

  private static final int ZIP64_FIELD = 1;
  private static final long IN_ZIP64_FIELD = 0xffff_ffffL;
  private static final int ENCRYPTED = 1;

  /**
   * An entry.
   *
   * @param begin of its data in the file
   * @param bytes of its data in the file
   * @param stored as it is, not compressed
   */
  record Entry(long begin, long bytes, boolean stored) {}

  /** Where the central directory lies and how many entries it lists. */
  private record Location(long begin, long bytes, long entries) {}

  private final MemorySegment file;

  private ZipDirectory(MemorySegment file) {
    this.file = file;
  }

  /**
   * Lists the entries in the directory's order, without folders.
   *
   * @throws dev.guildhall.error.GuildhallException INVALID_ARGUMENT saying what is wrong
   */
  static Map<String, Entry> read(MemorySegment file) {
    return new ZipDirectory(file).entries();
  }

  private Map<String, Entry> entries() {
    Location directory = location();
    Map<String, Entry> entries = new LinkedHashMap<>();
    long at = directory.begin();
    long end = at + directory.bytes();
    for (long i = 0; i < directory.entries(); i++) {
      check(
          CENTRAL_BYTES <= end - at && u32(at) == CENTRAL_SIGNATURE,
          "the zip archive's directory lists %d of its %d entries",
          i,
          directory.entries());
      long next = at + CENTRAL_BYTES + u16(at + 28) + u16(at + 30) + u16(at + 32);
      check(next <= end, "the zip archive's directory ends within entry %d", i);
      String name = name(at + CENTRAL_BYTES, u16(at + 28));
      if (!name.endsWith("/")) {
        check(
            entries.put(name, entry(name, at, directory.begin())) == null,
            "the zip archive has the entry \"%s\" twice",
            shown(name));
      }
      at = next;
    }
    check(at == end, "the zip archive's directory is longer than its entries");
    return entries;
  }

  private Location location() {
    long end = endRecord();
    check(
        u16(end + 4) == 0 && u16(end + 6) == 0 && u16(end + 8) == u16(end + 10),
        "the zip archive is one part of several");
    Location directory = new Location(u32(end + 16), u32(end + 12), u16(end + 10));
    long locator = end - LOCATOR64_BYTES;
    if (locator >= 0 && u32(locator) == LOCATOR64_SIGNATURE) {
      end = u64(locator + 8);
      check(
          end >= 0 && end <= locator - END64_BYTES && u32(end) == END64_SIGNATURE,
          "the zip archive's zip64 record is not where it should be");
      directory = new Location(u64(end + 48), u64(end + 40), u64(end + 32));
    }
    check(
        directory.bytes() >= 0
            && directory.begin() >= 0
            && directory.begin() <= end
            && directory.bytes() <= end - directory.begin(),
        "the zip archive's directory does not lie inside the file");
    check(
        directory.bytes() <= MAX_DIRECTORY_BYTES
            && directory.entries() >= 0
            && directory.entries() <= MAX_ENTRIES,
        "the zip archive's directory has %d entries and %d bytes; allowed are %d and %d",
        directory.entries(),
        directory.bytes(),
        MAX_ENTRIES,
        MAX_DIRECTORY_BYTES);
    return directory;
  }

  /** The record that ends the file, before a comment. */
  private long endRecord() {
    long least = Math.max(0, file.byteSize() - END_BYTES - 0xffff);
    for (long at = file.byteSize() - END_BYTES; at >= least; at--) {
      if (u32(at) == END_SIGNATURE && u16(at + 20) == file.byteSize() - END_BYTES - at) {
        return at;
      }
    }
    throw Refusal.of("the zip archive has no end; the file is cut off");
  }

  private String name(long at, int bytes) {
    try {
      return StandardCharsets.UTF_8
          .newDecoder()
          .decode(file.asSlice(at, bytes).asByteBuffer())
          .toString();
    } catch (CharacterCodingException e) {
      throw Refusal.of("the name of an entry of the zip archive is not UTF-8");
    }
  }

  /** Reads the entry of the directory at {@code central}; data end before {@code limit}. */
  private Entry entry(String name, long central, long limit) {
    String shown = shown(name);
    check((u16(central + 8) & ENCRYPTED) == 0, "the entry \"%s\" is encrypted", shown);
    int method = u16(central + 10);
    long plainBytes = u32(central + 24);
    long bytes = u32(central + 20);
    long local = u32(central + 42);
    long field = central + CENTRAL_BYTES + u16(central + 28);
    long fieldsEnd = field + u16(central + 30);
    while (fieldsEnd - field >= 4) {
      long value = field + 4;
      long next = value + u16(field + 2);
      check(next <= fieldsEnd, "the entry \"%s\" has a damaged extra field", shown);
      if (u16(field) == ZIP64_FIELD) {
        Zip64Field numbers = new Zip64Field(value, next);
        plainBytes = numbers.insteadOf(plainBytes);
        bytes = numbers.insteadOf(bytes);
        local = numbers.insteadOf(local);
        break;
      }
      field = next;
    }
    check(
        local >= 0
            && local <= limit - LOCAL_BYTES
            && u32(local) == LOCAL_SIGNATURE
            && u16(local + 8) == method,
        "the entry \"%s\" has no header of its own where the zip archive's directory says",
        shown);
    long begin = local + LOCAL_BYTES + u16(local + 26) + u16(local + 28);
    check(
        bytes >= 0 && begin <= limit && bytes <= limit - begin,
        "the entry \"%s\" does not lie inside the file",
        shown);
    check(
        name.equals(name(local + LOCAL_BYTES, u16(local + 26))),
        "the entry \"%s\" has another name in its own header",
        shown);
    boolean stored = method == 0;
    check(
        !stored || bytes == plainBytes,
        "the entry \"%s\" has %d bytes and takes %d in the file",
        shown,
        plainBytes,
        bytes);
    return new Entry(begin, bytes, stored);
  }

  /** The numbers that are too large for an entry of the directory, in the directory's order. */
  private final class Zip64Field {
    private final long end;
    private long at;

    Zip64Field(long begin, long end) {
      this.at = begin;
      this.end = end;
    }

    /** The next number, if the directory's own says that it stands here. */
    long insteadOf(long number) {
      if (number != IN_ZIP64_FIELD || end - at < Long.BYTES) {
        return number;
      }
      long full = u64(at);
      at += Long.BYTES;
      return full;
    }
  }

  private int u16(long at) {
    return Short.toUnsignedInt(file.get(U16, at));
  }

  private long u32(long at) {
    return Integer.toUnsignedLong(file.get(U32, at));
  }

  /** Negative where it takes the highest bit: no file is so large. */
  private long u64(long at) {
    return file.get(U64, at);
  }
}
