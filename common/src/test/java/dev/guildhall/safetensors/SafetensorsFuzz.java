package dev.guildhall.safetensors;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonArray;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import dev.guildhall.error.ErrorCode;
import dev.guildhall.error.GuildhallException;
import dev.guildhall.fuzz.GoldenFiles;
import dev.guildhall.fuzz.HeapBound;
import dev.guildhall.fuzz.ScratchFile;
import dev.guildhall.fuzz.SeedFolder;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.MemorySegment;
import java.lang.management.BufferPoolMXBean;
import java.lang.management.ManagementFactory;
import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/**
 * Fuzz target: a file of these bytes, and the same with a right length before its header and as
 * much data as the header asks for.
 *
 * <p>Oracle: it is refused as INVALID_ARGUMENT, or every tensor has the bytes and the size that
 * another JSON reader finds in the header, and together they cover the data without overlap. Either
 * way nothing stays mapped.
 */
public final class SafetensorsFuzz {
  private static final ScratchFile FILE = new ScratchFile("fuzzed.safetensors");
  private static final Pattern END_OFFSET = Pattern.compile("([0-9]{1,5})\\s*\\]\\s*[,}]");

  private static final BufferPoolMXBean MAPPED =
      ManagementFactory.getPlatformMXBeans(BufferPoolMXBean.class).stream()
          .filter(pool -> pool.getName().equals("mapped"))
          .findFirst()
          .orElseThrow();

  private SafetensorsFuzz() {}

  /** Golden files cut down to a few small tensors, and a few by hand. */
  public static Stream<byte[]> seeds() {
    Stream<byte[]> byHand =
        Stream.of(
            SafetensorsBytes.file("{}", 0),
            SafetensorsBytes.file(
                "{\"a\":{\"dtype\":\"BF16\",\"shape\":[2,0],\"data_offsets\":[0,0]} }  ", 0));
    return Stream.concat(byHand, GoldenFiles.all().stream().map(SafetensorsFuzz::cutDown));
  }

  private static byte[] cutDown(Path golden) {
    try (SafetensorsFile file = SafetensorsFile.open(golden)) {
      Map<String, StoredTensor> small = new LinkedHashMap<>();
      file.tensors().entrySet().stream()
          .filter(tensor -> tensor.getValue().data().byteSize() <= 64)
          .limit(4)
          .forEach(tensor -> small.put(tensor.getKey(), tensor.getValue()));
      Path copy = Files.createTempFile("golden", ".safetensors");
      SafetensorsWriter.write(copy, small, Map.of("format", "pt"));
      byte[] bytes = Files.readAllBytes(copy);
      Files.delete(copy);
      return bytes;
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  public static void fuzzerInitialize() throws Exception {
    SeedFolder.warmUp(SafetensorsFuzz::check);
  }

  public static void fuzzerTestOneInput(byte[] input) throws Exception {
    HeapBound.check(input, SafetensorsFuzz::check);
  }

  private static void check(byte[] input) throws IOException {
    checkFile(input);
    byte[] repaired = repaired(input);
    if (!Arrays.equals(input, repaired)) {
      checkFile(repaired);
    }
  }

  /** Otherwise hardly a changed header gets past the check of its length. */
  private static byte[] repaired(byte[] input) {
    int end = input.length;
    while (end > Long.BYTES && input[end - 1] != '}') {
      end--;
    }
    if (end <= Long.BYTES) {
      return input;
    }
    byte[] header = Arrays.copyOfRange(input, Long.BYTES, end);
    int dataBytes = 0;
    Matcher offset = END_OFFSET.matcher(new String(header, StandardCharsets.ISO_8859_1));
    while (offset.find()) {
      dataBytes = Math.max(dataBytes, Integer.parseInt(offset.group(1)));
    }
    byte[] file = SafetensorsBytes.file(header, dataBytes);
    System.arraycopy(
        input, end, file, Long.BYTES + header.length, Math.min(dataBytes, input.length - end));
    return file;
  }

  private static void checkFile(byte[] bytes) throws IOException {
    FILE.write(bytes);
    long mapped = MAPPED.getCount();
    try (SafetensorsFile file = SafetensorsFile.open(FILE.path())) {
      checkTensors(file, bytes);
    } catch (GuildhallException e) {
      assertEquals(ErrorCode.INVALID_ARGUMENT, e.code());
      assertTrue(e.getMessage().startsWith(FILE.path() + ": "), e.getMessage());
    }
    assertEquals(mapped, MAPPED.getCount(), "files that are still mapped");
  }

  private static void checkTensors(SafetensorsFile file, byte[] bytes) {
    int headerBytes =
        Math.toIntExact(ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN).getLong());
    int dataStart = Long.BYTES + headerBytes;
    JsonObject header =
        JsonParser.parseString(new String(bytes, Long.BYTES, headerBytes, StandardCharsets.UTF_8))
            .getAsJsonObject();
    Map<String, String> metadata = new HashMap<>();
    if (header.remove(SafetensorsHeader.METADATA) instanceof JsonObject given) {
      given.asMap().forEach((key, value) -> metadata.put(key, value.getAsString()));
    }
    assertEquals(metadata, file.metadata());
    assertEquals(header.keySet(), file.tensors().keySet());
    List<int[]> ranges = new ArrayList<>();
    file.tensors()
        .forEach((name, tensor) -> {
          JsonObject given = header.getAsJsonObject(name);
          JsonArray offsets = given.getAsJsonArray("data_offsets");
          int begin = offsets.get(0).getAsInt();
          int end = offsets.get(1).getAsInt();
          ranges.add(new int[] {begin, end});
          checkTensor(tensor, given, end - begin);
          MemorySegment due = MemorySegment.ofArray(bytes).asSlice(dataStart + begin, end - begin);
          assertEquals(-1, tensor.data().mismatch(due), name);
        });
    checkCover(ranges, bytes.length - dataStart);
  }

  private static void checkTensor(StoredTensor tensor, JsonObject given, int bytes) {
    assertEquals(given.get("dtype").getAsString(), tensor.dtype().safetensorsName());
    BigInteger size = BigInteger.valueOf(tensor.dtype().bytes());
    List<Long> shape = new ArrayList<>();
    for (var dimension : given.getAsJsonArray("shape")) {
      shape.add(dimension.getAsLong());
      size = size.multiply(dimension.getAsBigInteger());
    }
    assertEquals(shape, tensor.shape());
    assertEquals(BigInteger.valueOf(bytes), size);
    assertEquals(bytes, tensor.data().byteSize());
  }

  private static void checkCover(List<int[]> ranges, int dataBytes) {
    ranges.sort(
        Comparator.comparingInt((int[] range) -> range[0]).thenComparingInt(range -> range[1]));
    int covered = 0;
    for (int[] range : ranges) {
      assertEquals(covered, range[0]);
      covered = range[1];
    }
    assertEquals(dataBytes, covered);
  }
}
