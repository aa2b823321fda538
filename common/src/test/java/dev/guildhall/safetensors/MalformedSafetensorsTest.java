package dev.guildhall.safetensors;

import static dev.guildhall.safetensors.SafetensorsBytes.claiming;
import static dev.guildhall.safetensors.SafetensorsBytes.file;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.params.provider.Arguments.arguments;

import dev.guildhall.error.ErrorCode;
import dev.guildhall.error.GuildhallException;
import java.io.IOException;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.channels.SeekableByteChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Arrays;
import java.util.SplittableRandom;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

class MalformedSafetensorsTest {
  private static final String RIGHT =
      """
      {"__metadata__":{"format":"pt"},\
      "a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},\
      "b":{"dtype":"I64","shape":[3],"data_offsets":[16,40]},\
      "c":{"dtype":"BF16","shape":[0],"data_offsets":[40,40]}}\
      """;

  @TempDir Path folder;

  static Stream<Arguments> malformedFiles() {
    byte[] empty = "{}".getBytes(StandardCharsets.UTF_8);
    return Stream.of(
        arguments("empty file", new byte[0], "the file has 0 bytes"),
        arguments("7 bytes", new byte[7], "the file has 7 bytes"),
        arguments("length beyond the file", claiming(3, empty, 0), "the header's length is 3"),
        arguments("negative length", claiming(-1, empty, 0), "the header's length is -1"),
        arguments("least length", claiming(Long.MIN_VALUE, empty, 0), "the header's length is"),
        arguments("huge length", claiming(100_000_001, empty, 0), "length is 100000001"),
        arguments("no header", file("", 0), "not right JSON"),
        arguments("not UTF-8", file(new byte[] {'{', (byte) 0xff, '}'}, 0), "not UTF-8"),
        arguments("cut UTF-8", file(new byte[] {'{', '"', (byte) 0xc3}, 0), "not UTF-8"),
        arguments("not JSON", file("{nonsense", 0), "not right JSON"),
        arguments("lenient JSON", file("{'a':1}", 0), "not right JSON"),
        arguments("cut JSON", file("{\"a\":{\"dtype\":\"F32\"", 0), "not right JSON"),
        arguments("an array", file("[]", 0), "must begin with '{'"),
        arguments("white space first", file(" {}", 0), "must begin with '{'"),
        arguments("byte order mark first", file("\ufeff{}", 0), "must begin with '{'"),
        arguments("deep arrays", file("[".repeat(100_000), 0), "must begin with '{'"),
        arguments("deep tensor", file("{\"a\":" + "[".repeat(100_000), 0), "not right JSON"),
        arguments("deep field", tensor("\"x\":" + "[".repeat(100_000), 0), "unknown field \"x\""),
        arguments("deep objects", file("{\"a\":".repeat(100_000), 0), "unknown field \"a\""),
        arguments("deep shape", tensor("\"shape\":" + "[".repeat(100_000), 0), "no number"),
        arguments("something behind", file("{}x", 0), "not right JSON"),
        arguments("a second object", file("{}{}", 0), "not right JSON"),
        arguments("NUL behind", file("{}\0\0", 0), "not right JSON"),
        arguments("tensor twice", file("{%1$s,%1$s}".formatted(EMPTY_A), 0), "\"a\" occurs twice"),
        arguments(
            "metadata twice",
            file("{\"__metadata__\":{},\"__metadata__\":{}}", 0),
            "__metadata__ occurs twice"),
        arguments(
            "metadata holds a number",
            file("{\"__metadata__\":{\"k\":1}}", 0),
            "__metadata__: \"k\" is not a string"),
        arguments("metadata no object", file("{\"__metadata__\":\"x\"}", 0), "not right JSON"),
        arguments("tensor is null", file("{\"a\":null}", 0), "not right JSON"),
        arguments("field twice", tensor("\"dtype\":\"F32\",\"dtype\":\"F32\"", 0), "dtype twice"),
        arguments("unknown dtype", tensor("F31", "[1]", "[0,4]", 4), "dtype is \"F31\"; allowed"),
        arguments("lower case dtype", tensor("f32", "[1]", "[0,4]", 4), "dtype is \"f32\""),
        arguments("dtype null", tensor("\"dtype\":null", 0), "not right JSON"),
        arguments(
            "unknown field",
            tensor("\"strides\":[1]", 0),
            "\"a\" has an unknown field \"strides\""),
        arguments("no dtype", tensor("\"shape\":[1],\"data_offsets\":[0,4]", 4), "\"a\" needs"),
        arguments("no shape", tensor("\"dtype\":\"F32\",\"data_offsets\":[0,4]", 4), "\"a\" needs"),
        arguments("no offsets", tensor("\"dtype\":\"F32\",\"shape\":[1]", 4), "\"a\" needs"),
        arguments("one offset", tensor("F32", "[1]", "[4]", 4), "two data_offsets"),
        arguments("three offsets", tensor("F32", "[1]", "[0,4,4]", 4), "two data_offsets"),
        arguments("reversed offsets", tensor("F32", "[1]", "[4,0]", 4), "data_offsets are [4, 0]"),
        arguments("beyond the data", tensor("F32", "[2]", "[0,8]", 4), "the data has 4 bytes"),
        arguments("negative offset", tensor("F32", "[1]", "[-4,0]", 4), "data_offsets holds -4"),
        arguments("gap at the start", tensor("F32", "[1]", "[4,8]", 8), "begins at 4 where 0"),
        arguments("overlap", two("[0,8]", "[4,12]", 12), "\"b\" begins at 4 where 8 is due"),
        arguments("same place", two("[0,8]", "[0,8]", 8), "\"b\" begins at 0 where 8 is due"),
        arguments("gap", two("[0,8]", "[12,20]", 20), "\"b\" begins at 12 where 8 is due"),
        arguments(
            "trailing bytes", tensor("F32", "[1]", "[0,4]", 5), "take 4 bytes; the data has 5"),
        arguments("bytes without tensors", file("{}", 1), "take 0 bytes; the data has 1"),
        arguments("negative dimension", tensor("F32", "[-1]", "[0,4]", 4), "shape holds -1"),
        arguments("fraction", tensor("F32", "[1.0]", "[0,4]", 4), "shape holds 1.0"),
        arguments("exponent", tensor("F32", "[1e0]", "[0,4]", 4), "shape holds 1e0"),
        arguments("dimension as text", tensor("F32", "[\"1\"]", "[0,4]", 4), "holds no number"),
        arguments(
            "dimension of 2^63",
            tensor("F32", "[9223372036854775808]", "[0,4]", 4),
            "shape holds 9223372036854775808"),
        arguments(
            "dimension of 30 digits",
            tensor("F32", "[" + "9".repeat(30) + "]", "[0,4]", 4),
            "shape holds 999"),
        arguments(
            "shape overflows",
            tensor("F32", "[4294967296,4294967296]", "[0,4]", 4),
            "is too large"),
        arguments(
            "shape overflows to the right size",
            tensor("F32", "[4611686018427387905]", "[0,4]", 4),
            "is too large"),
        arguments("no list", tensor("F32", "1", "[0,4]", 4), "not right JSON"),
        arguments("too small", tensor("F32", "[2]", "[0,4]", 4), "takes 8 bytes"),
        arguments("too large", tensor("F64", "[1]", "[0,16]", 16), "takes 8 bytes"));
  }

  private static final String EMPTY_A =
      "\"a\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}";

  private static byte[] tensor(String fields, int dataBytes) {
    return file("{\"a\":{" + fields + "}}", dataBytes);
  }

  private static byte[] tensor(String dtype, String shape, String offsets, int dataBytes) {
    return tensor(
        "\"dtype\":\"%s\",\"shape\":%s,\"data_offsets\":%s".formatted(dtype, shape, offsets),
        dataBytes);
  }

  private static byte[] two(String offsets, String otherOffsets, int dataBytes) {
    return file(
        """
        {"a":{"dtype":"F32","shape":[2],"data_offsets":%s},\
        "b":{"dtype":"F32","shape":[2],"data_offsets":%s}}\
        """
            .formatted(offsets, otherOffsets),
        dataBytes);
  }

  @ParameterizedTest(name = "{0}")
  @MethodSource("malformedFiles")
  void refusesNamingFileAndProblem(String name, byte[] bytes, String problem) throws IOException {
    Path file = folder.resolve("bad.safetensors");
    Files.write(file, bytes);
    GuildhallException e =
        assertThrows(GuildhallException.class, () -> SafetensorsFile.open(file).close(), name);
    assertEquals(ErrorCode.INVALID_ARGUMENT, e.code());
    assertTrue(e.getMessage().startsWith(file + ": "), e.getMessage());
    assertTrue(e.getMessage().contains(problem), e.getMessage());
  }

  @Test
  void refusesAHeaderAboveTheFormatsLimitThoughTheFileHoldsIt() throws IOException {
    Path file = folder.resolve("bad.safetensors");
    Files.write(file, claiming(100_000_001, new byte[0], 0));
    try (SeekableByteChannel channel = Files.newByteChannel(file, StandardOpenOption.WRITE)) {
      channel.position(100_000_100).write(ByteBuffer.allocate(1));
    }
    GuildhallException e =
        assertThrows(GuildhallException.class, () -> SafetensorsFile.open(file).close());
    assertTrue(e.getMessage().contains("a header up to 100000000"), e.getMessage());
  }

  @Test
  void tellsAMissingFileFromABadOne() {
    Path file = folder.resolve("none.safetensors");
    GuildhallException e =
        assertThrows(GuildhallException.class, () -> SafetensorsFile.open(file).close());
    assertEquals(ErrorCode.NOT_FOUND, e.code());
    assertEquals(file + ": there is no such file", e.getMessage());
  }

  @Test
  void refusesAFolder() {
    GuildhallException e =
        assertThrows(GuildhallException.class, () -> SafetensorsFile.open(folder).close());
    assertEquals(ErrorCode.INVALID_ARGUMENT, e.code());
    assertTrue(e.getMessage().startsWith(folder.toString()), e.getMessage());
  }

  @Test
  void takesWhiteSpaceBehindTheHeader() throws IOException {
    Path file = folder.resolve("padded.safetensors");
    Files.write(file, file(RIGHT + "    \n", 40));
    try (SafetensorsFile read = SafetensorsFile.open(file)) {
      assertEquals(3, read.tensors().size());
    }
  }

  static IntStream seeds() {
    return IntStream.range(0, 500);
  }

  @ParameterizedTest(name = "seed {0}")
  @MethodSource("seeds")
  void readsOrRefusesAChangedFileButNeverFailsOtherwise(int seed) throws IOException {
    SplittableRandom random = new SplittableRandom(seed);
    byte[] bytes = file(RIGHT, 40);
    for (int flips = random.nextInt(0, 6); flips >= 0; flips--) {
      // Mostly one character for another that JSON knows: random bytes seldom get past the parser.
      bytes[random.nextInt(random.nextInt(8) == 0 ? bytes.length : bytes.length - 40)] =
          random.nextInt(3) == 0
              ? (byte) random.nextInt()
              : (byte) "0123456789[]{},:\"-".charAt(random.nextInt(18));
    }
    if (random.nextInt(4) == 0) {
      bytes = Arrays.copyOf(bytes, random.nextInt(bytes.length + 20));
    }
    Path file = folder.resolve("changed.safetensors");
    Files.write(file, bytes);
    try (SafetensorsFile read = SafetensorsFile.open(file)) {
      for (StoredTensor tensor : read.tensors().values()) {
        tensor.data().toArray(ValueLayout.JAVA_BYTE);
      }
    } catch (GuildhallException e) {
      assertEquals(ErrorCode.INVALID_ARGUMENT, e.code());
    }
  }
}
