package dev.guildhall.tensor;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import java.util.SplittableRandom;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

class FloatsTest {
  private static final int ALL = 1 << 16;

  /** The chunk that Floats works in, and what lies around its borders. */
  private static final int CHUNK = 4096;

  @ParameterizedTest
  @EnumSource(
      value = DType.class,
      names = {"FP16", "BF16"})
  void widensEveryValueExactly(DType dtype) {
    short[] all = new short[ALL];
    for (int i = 0; i < ALL; i++) {
      all[i] = (short) i;
    }
    float[] wide = widen(dtype, all);
    for (int i = 0; i < ALL; i++) {
      assertEquals(Format.of(dtype).value(i), wide[i], "of the bits " + i);
      assertEquals((i & 0x8000) != 0, isNegative(wide[i]), "sign of " + i);
    }
  }

  @ParameterizedTest
  @EnumSource(
      value = DType.class,
      names = {"FP16", "BF16"})
  void givesEveryValueBackAndANanAsANan(DType dtype) {
    short[] all = new short[ALL];
    for (int i = 0; i < ALL; i++) {
      all[i] = (short) i;
    }
    short[] back = narrow(dtype, widen(dtype, all));
    for (int i = 0; i < ALL; i++) {
      if (Double.isNaN(Format.of(dtype).value(i))) {
        assertTrue(Double.isNaN(Format.of(dtype).value(back[i] & 0xffff)), "NaN " + i);
      } else {
        assertEquals((short) i, back[i]);
      }
    }
  }

  /** At, just below and just above the middle between each two neighbours, of either sign. */
  @ParameterizedTest
  @EnumSource(
      value = DType.class,
      names = {"FP16", "BF16"})
  void roundsToTheNearestAndTiesToEven(DType dtype) {
    Format format = Format.of(dtype);
    int finite = format.infinity();
    float[] wide = new float[6 * finite];
    short[] expected = new short[6 * finite];
    for (int lower = 0, i = 0; lower < finite; lower++) {
      // The neighbour above the largest finite value, were there one: from there on it is infinite.
      float middle = (float) ((format.value(lower) + format.valueAsIfFinite(lower + 1)) / 2);
      int even = lower % 2 == 0 ? lower : lower + 1;
      for (int sign = 0; sign <= 1; sign++) {
        float factor = sign == 0 ? 1 : -1;
        wide[i] = factor * Math.nextDown(middle);
        expected[i++] = (short) (sign << 15 | lower);
        wide[i] = factor * middle;
        expected[i++] = (short) (sign << 15 | even);
        wide[i] = factor * Math.nextUp(middle);
        expected[i++] = (short) (sign << 15 | lower + 1);
      }
    }
    short[] actual = narrow(dtype, wide);
    int wrong = Arrays.mismatch(expected, actual);
    assertEquals(-1, wrong, () -> "of " + wide[wrong]);
  }

  @ParameterizedTest
  @EnumSource(
      value = DType.class,
      names = {"FP16", "BF16"})
  void roundsRandomBitsAsTheReferenceDoes(DType dtype) {
    Format format = Format.of(dtype);
    SplittableRandom random = new SplittableRandom(7);
    float[] wide = new float[50_000];
    for (int i = 0; i < wide.length; i++) {
      wide[i] = Float.intBitsToFloat(random.nextInt());
    }
    short[] actual = narrow(dtype, wide);
    for (int i = 0; i < wide.length; i++) {
      if (Float.isNaN(wide[i])) {
        assertTrue(Double.isNaN(format.value(actual[i] & 0xffff)));
      } else {
        assertEquals(format.nearest(wide[i]), actual[i] & 0xffff, "of " + wide[i]);
      }
    }
  }

  @ParameterizedTest
  @EnumSource(
      value = DType.class,
      names = {"FP16", "BF16"})
  void keepsEveryNanANan(DType dtype) {
    float[] nans = {
      Float.NaN,
      Float.intBitsToFloat(0x7f80_0001),
      Float.intBitsToFloat(0x7fff_ffff),
      Float.intBitsToFloat(0xff80_0001),
      Float.intBitsToFloat(0xffff_ffff)
    };
    for (short narrow : narrow(dtype, nans)) {
      assertTrue(Double.isNaN(Format.of(dtype).value(narrow & 0xffff)), "" + narrow);
    }
  }

  @Test
  void makesTooLargeMagnitudesInfinite() {
    float[] large = {65_519.996f, 65_520f, -65_520f, Float.MAX_VALUE, Float.NEGATIVE_INFINITY};
    assertEquals(
        Arrays.toString(new short[] {0x7bff, 0x7c00, (short) 0xfc00, 0x7c00, (short) 0xfc00}),
        Arrays.toString(narrow(DType.FP16, large)));
    float[] larger = {3.3895314e38f, Float.MAX_VALUE, -Float.MAX_VALUE, Float.POSITIVE_INFINITY};
    assertEquals(
        Arrays.toString(new short[] {0x7f7f, 0x7f80, (short) 0xff80, 0x7f80}),
        Arrays.toString(narrow(DType.BF16, larger)));
  }

  @ParameterizedTest
  @ValueSource(ints = {0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK + 3})
  void convertsExactlyTheElementsAskedFor(int elements) {
    float[] wide = new float[elements + 1];
    Arrays.fill(wide, 1.5f);
    short[] narrow = new short[elements + 1];
    Floats.fromFp32(
        DType.BF16, MemorySegment.ofArray(wide), MemorySegment.ofArray(narrow), elements);
    assertEquals(0, narrow[elements]);
    float[] back = new float[elements + 1];
    Floats.toFp32(DType.BF16, MemorySegment.ofArray(narrow), MemorySegment.ofArray(back), elements);
    assertEquals(0f, back[elements]);
    assertEquals(-1, Arrays.mismatch(wide, 0, elements, back, 0, elements));
  }

  @Test
  void refusesOtherElementTypes() {
    MemorySegment memory = MemorySegment.ofArray(new byte[8]);
    for (DType dtype : DType.values()) {
      if (dtype != DType.FP16 && dtype != DType.BF16) {
        assertThrows(IllegalArgumentException.class, () -> Floats.toFp32(dtype, memory, memory, 1));
        assertThrows(
            IllegalArgumentException.class, () -> Floats.fromFp32(dtype, memory, memory, 1));
      }
    }
  }

  static IntStream positions() {
    return IntStream.of(
        0, 1, 7, 8, 63, CHUNK - 2, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK - 1, 2 * CHUNK, 9_999);
  }

  @ParameterizedTest
  @MethodSource("positions")
  void findsTheFirstValueThatIsNotFinite(int position) {
    for (float poison : new float[] {Float.NaN, Float.POSITIVE_INFINITY, Float.NEGATIVE_INFINITY}) {
      float[] values = hugeFinite(10_000);
      values[position] = poison;
      assertEquals(position, firstNonFinite(values));
      values[9_999] = Float.NaN;
      assertEquals(position, firstNonFinite(values));
      assertEquals(-1, Floats.firstNonFinite(MemorySegment.ofArray(values), position));
    }
  }

  @Test
  void infinitiesOfBothSignsDoNotCancel() {
    float[] values = new float[100];
    values[30] = Float.NEGATIVE_INFINITY;
    values[40] = Float.POSITIVE_INFINITY;
    assertEquals(30, firstNonFinite(values));
    Arrays.fill(values, 0, 50, Float.POSITIVE_INFINITY);
    Arrays.fill(values, 50, 100, Float.NEGATIVE_INFINITY);
    assertEquals(0, firstNonFinite(values));
  }

  @Test
  void takesHugeTinyAndNegativeZeroForFinite() {
    assertEquals(-1, firstNonFinite(hugeFinite(10_000)));
    assertEquals(-1, firstNonFinite(new float[] {-0f}));
    assertEquals(-1, firstNonFinite(new float[] {Float.MIN_VALUE, -Float.MIN_VALUE, 0, -0f}));
    assertEquals(-1, firstNonFinite(new float[0]));
  }

  /** Their sum would overflow. */
  private static float[] hugeFinite(int length) {
    float[] values = new float[length];
    for (int i = 0; i < length; i++) {
      values[i] = i % 3 == 0 ? -0f : i % 5 == 0 ? -Float.MAX_VALUE : Float.MAX_VALUE;
    }
    return values;
  }

  private static long firstNonFinite(float[] values) {
    return Floats.firstNonFinite(MemorySegment.ofArray(values), values.length);
  }

  private static float[] widen(DType dtype, short[] narrow) {
    float[] wide = new float[narrow.length];
    Floats.toFp32(dtype, MemorySegment.ofArray(narrow), MemorySegment.ofArray(wide), narrow.length);
    return wide;
  }

  private static short[] narrow(DType dtype, float[] wide) {
    short[] narrow = new short[wide.length];
    Floats.fromFp32(dtype, MemorySegment.ofArray(wide), MemorySegment.ofArray(narrow), wide.length);
    return narrow;
  }

  private static boolean isNegative(float value) {
    return Float.floatToRawIntBits(value) < 0;
  }

  /** A 16-bit float type by its definition. */
  private record Format(int mantissaBits, int exponentBits) {
    static Format of(DType dtype) {
      return dtype == DType.FP16 ? new Format(10, 5) : new Format(7, 8);
    }

    /** Bits of +infinity; the bits below it are the finite values from 0 upwards. */
    int infinity() {
      return ((1 << exponentBits) - 1) << mantissaBits;
    }

    double value(int bits) {
      int magnitude = bits & 0x7fff;
      if (magnitude > infinity()) {
        return Double.NaN;
      }
      double value =
          magnitude == infinity() ? Double.POSITIVE_INFINITY : valueAsIfFinite(magnitude);
      return (bits & 0x8000) == 0 ? value : -value;
    }

    double valueAsIfFinite(int magnitude) {
      int bias = (1 << (exponentBits - 1)) - 1;
      int exponent = magnitude >> mantissaBits;
      double fraction = Math.scalb((double) (magnitude & ((1 << mantissaBits) - 1)), -mantissaBits);
      return exponent == 0
          ? Math.scalb(fraction, 1 - bias)
          : Math.scalb(1 + fraction, exponent - bias);
    }

    /** By bisection over the finite values. */
    int nearest(float value) {
      double magnitude = Math.abs((double) value);
      int low = 0;
      int high = infinity();
      while (high - low > 1) {
        int middle = (low + high) / 2;
        if (valueAsIfFinite(middle) <= magnitude) {
          low = middle;
        } else {
          high = middle;
        }
      }
      double below = magnitude - valueAsIfFinite(low);
      double above = valueAsIfFinite(high) - magnitude;
      int nearest = below < above ? low : above < below ? high : low % 2 == 0 ? low : high;
      return nearest | (isNegative(value) ? 0x8000 : 0);
    }
  }
}
