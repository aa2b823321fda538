package dev.guildhall.router.gate;

/**
 * The random draws of a gate, each addressed by where it is used, so that a draw depends neither on
 * the order of the calls nor on which others are asked for. One source serves one request.
 *
 * <p>An implementation answers the same question with the same number and may be called from
 * several threads.
 */
public interface NoiseSource {

  /** U(1 - 0.01, 1 + 0.01), the factor on one element of the gate's input (policy Jitter). */
  float jitter(int token, int dim);

  /** Gumbel(0, 1), added to one logit before the choice (RSample, and sampling of 2nd experts). */
  float gumbel(int token, int expert);

  /**
   * The same draw as {@link #gumbel} where it is greater than {@code floor}; otherwise any number
   * not greater. Looking for a largest sum, one need not know the draws that cannot win.
   */
  default float gumbelIfAbove(float floor, int token, int expert) {
    return gumbel(token, expert);
  }

  /** U(0, 1), the rank of one route among those of its expert (random token selection). */
  float uniform(int token, int expert);
}
