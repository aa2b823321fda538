package dev.guildhall.cli;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT_UNALIGNED;
import static java.lang.foreign.ValueLayout.JAVA_LONG_UNALIGNED;
import static org.junit.jupiter.api.Assertions.assertEquals;

import com.google.protobuf.ByteString;
import dev.guildhall.safetensors.SafetensorsFile;
import dev.guildhall.safetensors.StoredTensor;
import dev.guildhall.tensor.DType;
import dev.guildhall.tensor.Floats;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;

/** Tensors of tests: random ones, those of files, and their wire form. */
public final class Tensors {
  private Tensors() {}

  /** [elements] uniform in (-1, 1). */
  public static float[] random(long seed, int elements) {
    SplittableRandom random = new SplittableRandom(seed);
    float[] values = new float[elements];
    for (int i = 0; i < elements; i++) {
      values[i] = (float) random.nextDouble(-1, 1);
    }
    return values;
  }

  public static StoredTensor fp32(float[] values, long... shape) {
    return new StoredTensor(
        DType.FP32, Arrays.stream(shape).boxed().toList(), MemorySegment.ofArray(values));
  }

  static StoredTensor int64(long... values) {
    return new StoredTensor(
        DType.INT64, List.of((long) values.length), MemorySegment.ofArray(values));
  }

  public static ByteString bytes(float... values) {
    ByteBuffer bytes =
        ByteBuffer.allocate(values.length * Float.BYTES).order(ByteOrder.LITTLE_ENDIAN);
    bytes.asFloatBuffer().put(values);
    return ByteString.copyFrom(bytes);
  }

  /** Rounded to FP16 or BF16. */
  static ByteString bytes(DType dtype, float... values) {
    byte[] narrow = new byte[values.length * dtype.bytes()];
    Floats.fromFp32(
        dtype, MemorySegment.ofArray(values), MemorySegment.ofArray(narrow), values.length);
    return ByteString.copyFrom(narrow);
  }

  public static float[] floats(ByteString bytes) {
    return MemorySegment.ofArray(bytes.toByteArray()).toArray(JAVA_FLOAT_UNALIGNED);
  }

  /** Widened from FP16 or BF16. */
  static float[] floats(DType dtype, ByteString bytes) {
    float[] wide = new float[bytes.size() / dtype.bytes()];
    Floats.toFp32(
        dtype,
        MemorySegment.ofArray(bytes.toByteArray()),
        MemorySegment.ofArray(wide),
        wide.length);
    return wide;
  }

  static float[] floats(Path file, String tensor) {
    try (SafetensorsFile opened = SafetensorsFile.open(file)) {
      return opened.tensor(tensor).data().toArray(JAVA_FLOAT_UNALIGNED);
    }
  }

  static long[] longs(Path file, String tensor) {
    try (SafetensorsFile opened = SafetensorsFile.open(file)) {
      return opened.tensor(tensor).data().toArray(JAVA_LONG_UNALIGNED);
    }
  }

  static void assertClose(float[] expected, float[] actual, double absolute) {
    assertEquals(expected.length, actual.length);
    for (int i = 0; i < expected.length; i++) {
      assertEquals(expected[i], actual[i], absolute, "element " + i);
    }
  }
}
