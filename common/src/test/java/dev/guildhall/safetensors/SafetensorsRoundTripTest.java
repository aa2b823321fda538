package dev.guildhall.safetensors;

import static java.util.Objects.requireNonNull;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.guildhall.error.ErrorCode;
import dev.guildhall.error.GuildhallException;
import dev.guildhall.tensor.DType;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;

class SafetensorsRoundTripTest {
  private static final Path GOLDEN = Path.of("src/test/resources/golden");

  @TempDir Path folder;

  @ParameterizedTest
  @EnumSource(DType.class)
  void givesBackEveryDtype(DType dtype) throws IOException {
    StoredTensor tensor = randomTensor(dtype, 3, 5);
    assertRoundTrip(Map.of("weight", tensor), Map.of());
  }

  @Test
  void keepsTheOrderOfTensorsAndTheMetadata() throws IOException {
    Map<String, StoredTensor> tensors = new LinkedHashMap<>();
    tensors.put("z", randomTensor(DType.UINT8, 3));
    tensors.put("a", randomTensor(DType.FP32, 2, 2));
    tensors.put("m", randomTensor(DType.FP16, 7));
    Map<String, String> metadata = Map.of("config", "{\"k\": 2}", "format", "pt", "empty", "");
    assertRoundTrip(tensors, metadata);
  }

  @Test
  void takesScalarsAndTensorsWithoutElements() throws IOException {
    Map<String, StoredTensor> tensors = new LinkedHashMap<>();
    tensors.put("empty first", randomTensor(DType.FP32, 0, 4));
    tensors.put("scalar", randomTensor(DType.FP32));
    tensors.put("empty between", randomTensor(DType.INT64, 2, 0));
    tensors.put("one", randomTensor(DType.FP64, 1));
    tensors.put("empty last", randomTensor(DType.BOOL, 0));
    assertRoundTrip(tensors, Map.of());
  }

  @Test
  void takesNamesOfAnyScript() throws IOException {
    Map<String, StoredTensor> tensors = new LinkedHashMap<>();
    for (String name :
        List.of("größe", "重み", "🜚.weight", "a\"b\\c\n\t", "line\u2028break", "", "{expert}%s")) {
      tensors.put(name, randomTensor(DType.FP32, 2));
    }
    assertRoundTrip(tensors, Map.of("ключ", "значение"));
  }

  @Test
  void takesAFileWithoutTensors() throws IOException {
    assertRoundTrip(Map.of(), Map.of());
    assertRoundTrip(Map.of(), Map.of("format", "pt"));
  }

  @Test
  void alignsTheDataToEightBytes() throws IOException {
    Path file = folder.resolve("aligned.safetensors");
    for (int length = 1; length <= 9; length++) {
      SafetensorsWriter.write(
          file, Map.of("n".repeat(length), randomTensor(DType.FP64, 1)), Map.of());
      try (SafetensorsFile read = SafetensorsFile.open(file)) {
        assertEquals(0, read.tensor("n".repeat(length)).data().address() % 8);
      }
    }
  }

  @Test
  void replacesAnOlderFileAndLeavesNoOther() throws IOException {
    Path file = folder.resolve("x.safetensors");
    SafetensorsWriter.write(file, Map.of("old", randomTensor(DType.FP32, 100)), Map.of());
    SafetensorsWriter.write(file, Map.of("new", randomTensor(DType.FP32, 2)), Map.of());
    try (SafetensorsFile read = SafetensorsFile.open(file);
        Stream<Path> files = Files.list(folder)) {
      assertEquals(List.of("new"), List.copyOf(read.tensors().keySet()));
      assertEquals(List.of(file), files.toList());
    }
  }

  @Test
  void refusesToWriteATensorUnderTheNameOfTheMetadata() {
    Path file = folder.resolve("x.safetensors");
    Map<String, StoredTensor> tensors = Map.of("__metadata__", randomTensor(DType.FP32, 1));
    assertThrows(
        IllegalArgumentException.class, () -> SafetensorsWriter.write(file, tensors, Map.of()));
    assertFalse(Files.exists(file));
  }

  @Test
  void refusesATensorWhoseShapeDoesNotTakeItsBytes() {
    MemorySegment bytes = MemorySegment.ofArray(new byte[12]);
    assertEquals(3, new StoredTensor(DType.FP32, List.of(3L), bytes).elements());
    for (List<Long> shape :
        List.of(
            List.of(4L), List.of(2L), List.<Long>of(), List.of(-3L), List.of(1L << 62, 1L << 62))) {
      assertThrows(
          IllegalArgumentException.class, () -> new StoredTensor(DType.FP32, shape, bytes));
    }
  }

  @Test
  void saysWhatTheFileHasWhenATensorIsMissing() throws IOException {
    Path file = folder.resolve("x.safetensors");
    SafetensorsWriter.write(file, Map.of("weight", randomTensor(DType.FP32, 1)), Map.of());
    try (SafetensorsFile read = SafetensorsFile.open(file)) {
      GuildhallException e = assertThrows(GuildhallException.class, () -> read.tensor("bias"));
      assertEquals(ErrorCode.NOT_FOUND, e.code());
      assertEquals(file + " has no tensor \"bias\"; it has 1 tensors: weight", e.getMessage());
    }
  }

  @Test
  void refusesToTouchMemoryAfterClosing() throws IOException {
    Path file = folder.resolve("x.safetensors");
    SafetensorsWriter.write(file, Map.of("weight", randomTensor(DType.FP32, 1)), Map.of());
    MemorySegment data;
    try (SafetensorsFile read = SafetensorsFile.open(file)) {
      data = read.tensor("weight").data();
    }
    assertThrows(IllegalStateException.class, () -> data.get(ValueLayout.JAVA_BYTE, 0));
  }

  static Stream<Path> goldenFiles() throws IOException {
    try (Stream<Path> files = Files.list(GOLDEN)) {
      return files
          .filter(file -> file.toString().endsWith(".safetensors"))
          .sorted()
          .toList()
          .stream();
    }
  }

  @ParameterizedTest
  @MethodSource("goldenFiles")
  void readsAndWritesAgainWhatTheOriginalLibraryWrote(Path golden) throws IOException {
    Path copy = folder.resolve("copy.safetensors");
    try (SafetensorsFile read = SafetensorsFile.open(golden)) {
      assertTrue(read.tensors().containsKey("hidden_states"));
      assertTrue(read.metadata().containsKey("config"));
      SafetensorsWriter.write(copy, read.tensors(), read.metadata());
      try (SafetensorsFile again = SafetensorsFile.open(copy)) {
        assertSameTensors(read.tensors(), again.tensors());
        assertEquals(read.metadata(), again.metadata());
      }
    }
  }

  /** Sparse on disk: 2 GiB of zeros that nobody writes. */
  @Test
  void readsBehindTwoGibibytes() throws IOException {
    long big = (1L << 31) + 16;
    String header =
        """
        {"big":{"dtype":"U8","shape":[%1$d],"data_offsets":[0,%1$d]},\
        "last":{"dtype":"F32","shape":[3],"data_offsets":[%1$d,%2$d]}}\
        """
            .formatted(big, big + 12);
    byte[] json = header.getBytes(StandardCharsets.UTF_8);
    Path file = folder.resolve("big.safetensors");
    try (FileChannel channel =
        FileChannel.open(
            file,
            StandardOpenOption.CREATE_NEW,
            StandardOpenOption.WRITE,
            StandardOpenOption.SPARSE)) {
      channel.write(ByteBuffer.wrap(SafetensorsBytes.file(json, 0)));
      ByteBuffer last = ByteBuffer.allocate(12).order(ByteOrder.LITTLE_ENDIAN);
      last.putFloat(1.5f).putFloat(-2f).putFloat(3.25f).flip();
      channel.write(last, Long.BYTES + json.length + big);
    }
    try (SafetensorsFile read = SafetensorsFile.open(file)) {
      assertEquals(big, read.tensor("big").elements());
      assertEquals(0, read.tensor("big").data().get(ValueLayout.JAVA_BYTE, big - 1));
      MemorySegment last = read.tensor("last").data();
      assertEquals(1.5f, last.get(ValueLayout.JAVA_FLOAT_UNALIGNED, 0));
      assertEquals(3.25f, last.get(ValueLayout.JAVA_FLOAT_UNALIGNED, 8));
    }
  }

  private void assertRoundTrip(Map<String, StoredTensor> tensors, Map<String, String> metadata)
      throws IOException {
    Path file = folder.resolve("round-trip.safetensors");
    SafetensorsWriter.write(file, tensors, metadata);
    try (SafetensorsFile read = SafetensorsFile.open(file)) {
      assertEquals(file, read.path());
      assertEquals(metadata, read.metadata());
      assertSameTensors(tensors, read.tensors());
    }
  }

  private static void assertSameTensors(
      Map<String, StoredTensor> expected, Map<String, StoredTensor> actual) {
    assertEquals(List.copyOf(expected.keySet()), List.copyOf(actual.keySet()));
    expected.forEach((name, tensor) -> {
      StoredTensor read = requireNonNull(actual.get(name));
      assertEquals(tensor.dtype(), read.dtype(), name);
      assertEquals(tensor.shape(), read.shape(), name);
      assertEquals(tensor.elements(), read.elements(), name);
      assertEquals(-1, tensor.data().mismatch(read.data()), name);
    });
  }

  private static StoredTensor randomTensor(DType dtype, long... shape) {
    long elements = 1;
    for (long dimension : shape) {
      elements *= dimension;
    }
    byte[] bytes = new byte[(int) elements * dtype.bytes()];
    new SplittableRandom(elements).nextBytes(bytes);
    return new StoredTensor(
        dtype, Arrays.stream(shape).boxed().toList(), MemorySegment.ofArray(bytes));
  }

  @Test
  void tensorsAreMadeOneAfterTheOther() throws IOException {
    List<MemorySegment> made = new ArrayList<>();
    Map<String, TensorSource> tensors = new LinkedHashMap<>();
    for (int i = 0; i < 3; i++) {
      tensors.put(
          "t" + i,
          new DerivedTensor(
              DType.FP32,
              List.of(4L),
              arena -> {
                assertTrue(
                    made.stream().noneMatch(before -> before.scope().isAlive()), "two at once");
                MemorySegment data = arena.allocate(16);
                made.add(data);
                return data;
              }));
    }
    Path file = folder.resolve("made.safetensors");
    SafetensorsWriter.write(file, tensors, Map.of());
    assertEquals(3, made.size());
    try (SafetensorsFile read = SafetensorsFile.open(file)) {
      assertEquals(tensors.keySet(), read.tensors().keySet());
    }
  }
}
