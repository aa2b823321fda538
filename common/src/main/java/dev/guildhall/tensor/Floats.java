package dev.guildhall.tensor;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT_UNALIGNED;
import static java.lang.foreign.ValueLayout.JAVA_INT_UNALIGNED;
import static java.lang.foreign.ValueLayout.JAVA_SHORT_UNALIGNED;

import java.lang.foreign.MemorySegment;

/**
 * Conversions between fp32 and the 16-bit float types, and a check for values that are not finite.
 * All memory is little-endian, which is the native order of every platform that we run on.
 *
 * <p>Elements pass through small arrays: C2 vectorises these loops on arrays, not on segments.
 */
public final class Floats {
  private static final int CHUNK = 4096;
  private static final int BF16_SHIFT = 16;
  private static final int FP32_INFINITY = 0x7f80_0000;
  private static final int FP32_MAGNITUDE = 0x7fff_ffff;

  private Floats() {}

  /**
   * Widens to fp32, exactly.
   *
   * @param from FP16 or BF16
   * @param source [elements] of {@code from}
   * @param destination [elements] fp32
   */
  public static void toFp32(
      DType from, MemorySegment source, MemorySegment destination, long elements) {
    short[] narrow = new short[CHUNK];
    float[] wide = new float[CHUNK];
    for (long done = 0; done < elements; done += CHUNK) {
      int count = (int) Math.min(CHUNK, elements - done);
      MemorySegment.copy(source, JAVA_SHORT_UNALIGNED, done * Short.BYTES, narrow, 0, count);
      switch (from) {
        case FP16 -> fp16ToFp32(narrow, wide, count);
        case BF16 -> bf16ToFp32(narrow, wide, count);
        default -> throw not16Bit(from);
      }
      MemorySegment.copy(wide, 0, destination, JAVA_FLOAT_UNALIGNED, done * Float.BYTES, count);
    }
  }

  /**
   * Widens to fp32, exactly, into an array.
   *
   * @param from FP32, FP16 or BF16
   * @param source [elements] of {@code from}
   * @param destination receives them at its beginning
   */
  public static void toArray(DType from, MemorySegment source, float[] destination, int elements) {
    if (from == DType.FP32) {
      MemorySegment.copy(source, JAVA_FLOAT_UNALIGNED, 0, destination, 0, elements);
    } else {
      toFp32(from, source, MemorySegment.ofArray(destination), elements);
    }
  }

  /**
   * Rounds fp32 to the nearest value, ties to even; too large a magnitude becomes infinite.
   *
   * @param to FP16 or BF16
   * @param source [elements] fp32
   * @param destination [elements] of {@code to}
   */
  public static void fromFp32(
      DType to, MemorySegment source, MemorySegment destination, long elements) {
    float[] wide = new float[CHUNK];
    short[] narrow = new short[CHUNK];
    for (long done = 0; done < elements; done += CHUNK) {
      int count = (int) Math.min(CHUNK, elements - done);
      MemorySegment.copy(source, JAVA_FLOAT_UNALIGNED, done * Float.BYTES, wide, 0, count);
      switch (to) {
        case FP16 -> fp32ToFp16(wide, narrow, count);
        case BF16 -> fp32ToBf16(wide, narrow, count);
        default -> throw not16Bit(to);
      }
      MemorySegment.copy(narrow, 0, destination, JAVA_SHORT_UNALIGNED, done * Short.BYTES, count);
    }
  }

  /**
   * Index of the first NaN or infinity, or -1.
   *
   * @param fp32 [elements] fp32
   */
  public static long firstNonFinite(MemorySegment fp32, long elements) {
    int[] chunk = new int[(int) Math.min(CHUNK, elements)];
    for (long done = 0; done < elements; done += CHUNK) {
      int count = (int) Math.min(CHUNK, elements - done);
      MemorySegment.copy(fp32, JAVA_INT_UNALIGNED, done * Float.BYTES, chunk, 0, count);
      if (!allFinite(chunk, count)) {
        return done + firstNonFinite(chunk, count);
      }
    }
    return -1;
  }

  /** Without a branch an element, and over integers, so that it vectorises. */
  private static boolean allFinite(int[] bits, int count) {
    int largest = 0;
    for (int i = 0; i < count; i++) {
      largest = Math.max(largest, bits[i] & FP32_MAGNITUDE);
    }
    return largest < FP32_INFINITY;
  }

  private static int firstNonFinite(int[] bits, int count) {
    int index = 0;
    while (index < count && (bits[index] & FP32_MAGNITUDE) < FP32_INFINITY) {
      index++;
    }
    return index;
  }

  private static void fp16ToFp32(short[] in, float[] out, int count) {
    for (int i = 0; i < count; i++) {
      out[i] = Float.float16ToFloat(in[i]);
    }
  }

  private static void fp32ToFp16(float[] in, short[] out, int count) {
    for (int i = 0; i < count; i++) {
      out[i] = Float.floatToFloat16(in[i]);
    }
  }

  private static void bf16ToFp32(short[] in, float[] out, int count) {
    for (int i = 0; i < count; i++) {
      out[i] = Float.intBitsToFloat(in[i] << BF16_SHIFT);
    }
  }

  private static void fp32ToBf16(float[] in, short[] out, int count) {
    for (int i = 0; i < count; i++) {
      int bits = Float.floatToRawIntBits(in[i]);
      int rounded = bits + 0x7fff + (bits >>> BF16_SHIFT & 1);
      // Rounding could carry a NaN's payload into infinity.
      int nan = bits | 0x0040_0000;
      boolean isNan = (bits & Integer.MAX_VALUE) > FP32_INFINITY;
      out[i] = (short) ((isNan ? nan : rounded) >>> BF16_SHIFT);
    }
  }

  private static IllegalArgumentException not16Bit(DType dtype) {
    return new IllegalArgumentException("dtype is " + dtype + "; allowed is FP16 or BF16");
  }
}
