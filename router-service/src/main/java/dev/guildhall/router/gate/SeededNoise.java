package dev.guildhall.router.gate;

/**
 * Noise computed from a seed and the place of use alone: SplitMix64 used as a counter-based
 * generator. It keeps no state, and its arithmetic is exactly defined, so that a seed gives the
 * same draws on every platform. Safe for use by many threads.
 */
public final class SeededNoise implements NoiseSource {
  private static final long GOLDEN_GAMMA = 0x9E3779B97F4A7C15L;
  private static final int GUMBEL_BITS = 32;
  private static final float LN_2_ROUNDED_UP = 0.7f;
  private static final float JITTER = 0.01f;

  private final long jitterKey;
  private final long gumbelKey;
  private final long uniformKey;

  public SeededNoise(long seed) {
    // Mixed keys, not consecutive ones: neighbouring seeds and kinds must not share draws.
    jitterKey = mix(mix(seed) + 1);
    gumbelKey = mix(mix(seed) + 2);
    uniformKey = mix(mix(seed) + 3);
  }

  @Override
  public float jitter(int token, int dim) {
    return 1 - JITTER + 2 * JITTER * unit(jitterKey, token, dim);
  }

  @Override
  public float gumbel(int token, int expert) {
    return gumbel(gumbelBits(token, expert));
  }

  @Override
  public float gumbelIfAbove(float floor, int token, int expert) {
    long bits = gumbelBits(token, expert);
    // -ln(-ln(1 - v)) < -ln(v), whose power of two costs no logarithm. Rounded up for ln 2, so that
    // rounding elsewhere cannot make this bound pass over a draw that counts.
    float bound =
        LN_2_ROUNDED_UP * (GUMBEL_BITS + 1 - (Long.SIZE - Long.numberOfLeadingZeros(bits)));
    return bound > floor ? gumbel(bits) : Float.NEGATIVE_INFINITY;
  }

  private long gumbelBits(int token, int expert) {
    return bits(gumbelKey, token, expert) >>> (Long.SIZE - GUMBEL_BITS);
  }

  /** From v = (bits + 1/2) / 2^32, never 0 and never 1, where a logarithm would be infinite. */
  private static float gumbel(long bits) {
    double v = (bits + 0.5) * 0x1p-32;
    return (float) -StrictMath.log(-StrictMath.log1p(-v));
  }

  @Override
  public float uniform(int token, int expert) {
    return unit(uniformKey, token, expert);
  }

  private static float unit(long key, int token, int index) {
    return (bits(key, token, index) >>> 40) * 0x1p-24f;
  }

  private static long bits(long key, int token, int index) {
    return mix(key + (((long) token << 32) | index) * GOLDEN_GAMMA);
  }

  /** The finaliser of SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Generators). */
  private static long mix(long value) {
    long z = value + GOLDEN_GAMMA;
    z = (z ^ (z >>> 30)) * 0xBF58476D1CE4E5B9L;
    z = (z ^ (z >>> 27)) * 0x94D049BB133111EBL;
    return z ^ (z >>> 31);
  }
}
