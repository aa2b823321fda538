package dev.guildhall.checkpoint.torch;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.params.provider.Arguments.arguments;

import dev.guildhall.safetensors.StoredTensor;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.SplittableRandom;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

class TensorViewsTest {
  private static final long HUGE = Long.MAX_VALUE;

  @TempDir Path folder;

  private static long[] of(long... numbers) {
    return numbers;
  }

  static Stream<Arguments> viewsThatReachOutside() {
    return Stream.of(
        arguments("one more", 4L, 0L, of(5), of(1), "outside its storage"),
        arguments("from the end", 4L, 4L, of(1), of(1), "outside its storage"),
        arguments("from behind", 4L, 5L, of(0), of(1), "outside its storage"),
        arguments("before", 4L, -1L, of(1), of(1), "outside its storage"),
        arguments("far offset", 4L, HUGE, of(1), of(1), "outside its storage"),
        arguments("large stride", 4L, 0L, of(2), of(4), "outside its storage"),
        arguments("huge stride", 4L, 0L, of(3), of(HUGE), "outside its storage"),
        arguments("stride that comes back to 0", 4L, 0L, of(5), of(1L << 62), "outside its stor"),
        arguments("sum that comes back", 4L, 2L, of(2, 2), of(HUGE, HUGE), "outside its storage"),
        arguments("huge size without strides", 4L, 0L, of(1L << 62), of(0), "outside its storage"),
        arguments("size of 2^64", 4L, 0L, of(1L << 32, 1L << 32), of(0, 0), "outside its storage"),
        arguments("size of 2^66, times 0", 4L, 0L, of(1L << 33, 1L << 33, 0), of(0, 0, 1), "outsi"),
        arguments("negative dimension", 4L, 0L, of(-1), of(1), "allowed are numbers from 0"),
        arguments("negative stride", 4L, 3L, of(2), of(-1), "allowed are numbers from 0"),
        arguments("strides missing", 4L, 0L, of(2, 2), of(1), "2 dimensions and 1 strides"),
        arguments("65 dimensions", 4L, 0L, new long[65], new long[65], "65 dimensions"),
        arguments("no such storage", 5L, 0L, of(1), of(1), "claims 5 elements"),
        arguments("huge storage", HUGE, 0L, of(1), of(1), "claims 9223372036854775807 elements"),
        arguments("negative storage", -1L, 0L, of(0), of(1), "has -1 elements"),
        arguments("copy beyond the file", 4L, 0L, of(1 << 20, 2), of(0, 1), "take more than"));
  }

  @ParameterizedTest(name = "{0}")
  @MethodSource("viewsThatReachOutside")
  void refusesViewsThatReachOutsideTheirStorage(
      String name, long elements, long offset, long[] shape, long[] strides, String why)
      throws IOException {
    byte[] pickle =
        new PickleWriter()
            .dict()
            .text("w")
            .tensor("FloatStorage", "0", elements, offset, shape, strides)
            .endDict()
            .end();
    RefusedFile.check(folder, ZipWriter.torch(pickle, "0", new byte[16]), why);
  }

  @Test
  void refusesManyCopiesThatTogetherAreLargerThanTheFile() throws IOException {
    PickleWriter pickle = new PickleWriter().dict();
    for (int i = 0; i < 40; i++) {
      pickle.text("w" + i).tensor("ByteStorage", "0", 8192, 0, new long[] {64, 128}, of(1, 64));
    }
    RefusedFile.check(
        folder,
        ZipWriter.torch(pickle.endDict().end(), "0", new byte[8192]),
        "take more than the file's");
  }

  @Test
  void refusesAStorageThatIsNotThere() throws IOException {
    byte[] pickle =
        new PickleWriter().dict().text("w").vector("FloatStorage", "../x", 1).endDict().end();
    RefusedFile.check(
        folder, ZipWriter.torch(pickle), "tensor \"w\": the zip archive has no entry");
  }

  @Test
  void copiesATensorThatOccursTwiceOnce() throws IOException {
    byte[] pickle =
        new PickleWriter()
            .dict()
            .text("a")
            .tensor("ByteStorage", "0", 4, 0, of(2, 2), of(1, 2))
            .raw("q\1")
            .text("b")
            .raw("h\1")
            .endDict()
            .end();
    Path path =
        Files.write(
            folder.resolve("tied.pt"), ZipWriter.torch(pickle, "0", new byte[] {1, 2, 3, 4}));
    try (TorchFile file = TorchFile.open(path)) {
      assertSame(file.tensor("a"), file.tensor("b"));
      assertArrayEquals(
          new byte[] {1, 3, 2, 4}, file.tensor("a").data().toArray(ValueLayout.JAVA_BYTE));
    }
  }

  static IntStream seeds() {
    return IntStream.range(0, 60);
  }

  @ParameterizedTest(name = "seed {0}")
  @MethodSource("seeds")
  void readsWhatIndexingReads(int seed) throws IOException {
    SplittableRandom random = new SplittableRandom(seed);
    long[] shape = random.longs(random.nextInt(5), 0, 5).toArray();
    long[] strides = random.longs(shape.length, 0, 7).toArray();
    if (random.nextBoolean()) {
      long next = 1;
      for (int i = shape.length - 1; i >= 0; i--) {
        strides[i] = next;
        next *= Math.max(1, shape[i]);
      }
    }
    int offset = random.nextInt(9);
    int[] storage = IntStream.range(100, 100 + 700).toArray();
    byte[] pickle =
        new PickleWriter()
            .dict()
            .text("w")
            .tensor("IntStorage", "0", storage.length, offset, shape, strides)
            .endDict()
            .end();
    byte[] bytes = MemorySegment.ofArray(storage).toArray(ValueLayout.JAVA_BYTE);
    Path path = Files.write(folder.resolve("view.pt"), ZipWriter.torch(pickle, "0", bytes));
    try (TorchFile file = TorchFile.open(path)) {
      StoredTensor tensor = file.tensor("w");
      assertEquals(Arrays.stream(shape).boxed().toList(), tensor.shape());
      assertArrayEquals(
          indexed(storage, offset, shape, strides, 0).toArray(),
          tensor.data().toArray(ValueLayout.JAVA_INT_UNALIGNED));
    }
  }

  private static IntStream indexed(
      int[] storage, long offset, long[] shape, long[] strides, int dimension) {
    if (dimension == shape.length) {
      return IntStream.of(storage[(int) offset]);
    }
    return IntStream.range(0, (int) shape[dimension])
        .flatMap(
            i -> indexed(storage, offset + i * strides[dimension], shape, strides, dimension + 1));
  }
}
