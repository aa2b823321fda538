package dev.guildhall.router.gate;

import dev.guildhall.error.GuildhallException;

/** Which tokens of a request take part in the routing (DeepSpeed's {@code used_token}). */
public final class UsedTokens {
  /** Every token, however many there are. */
  public static final UsedTokens ALL = new UsedTokens(new boolean[0]);

  private final boolean[] used;

  private UsedTokens(boolean[] used) {
    this.used = used;
  }

  /**
   * A mask.
   *
   * @param used [tokens], false keeps a token out; empty: all are used. Copied.
   */
  public static UsedTokens of(boolean[] used) {
    return used.length == 0 ? ALL : new UsedTokens(used.clone());
  }

  /** Whether the token is routed. */
  public boolean uses(int token) {
    return used.length == 0 || used[token];
  }

  /**
   * Checks that the mask fits a request.
   *
   * @throws GuildhallException INVALID_ARGUMENT when it is for another number of tokens
   */
  void checkTokens(int tokens) {
    if (used.length != 0 && used.length != tokens) {
      throw GuildhallException.invalidArgument(
          "used_token has %d values; allowed is one a token, %d, or none"
              .formatted(used.length, tokens));
    }
  }
}
