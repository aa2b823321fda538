package dev.guildhall.router.admission;

import dev.guildhall.error.GuildhallException;
import java.util.Optional;

/**
 * Who a request is for.
 *
 * @param name in errors
 * @param budget of all its requests together; none: no limit of its own
 */
public record Caller(String name, Optional<TokenBudget> budget) {
  /** Whoever calls a router that asks for no tokens. */
  public static final Caller ANYONE = new Caller("anyone", Optional.empty());

  /**
   * Lets a request in; {@link #release} must follow with the same number.
   *
   * @throws GuildhallException RESOURCE_EXHAUSTED or INVALID_ARGUMENT, as of {@link TokenBudget},
   *     naming the caller
   */
  public void acquire(long tokens) {
    if (budget.isEmpty()) {
      return;
    }
    try {
      budget.get().acquire(tokens);
    } catch (GuildhallException e) {
      throw new GuildhallException(e.code(), "caller %s: %s".formatted(name, e.getMessage()), e);
    }
  }

  public void release(long tokens) {
    budget.ifPresent(taken -> taken.release(tokens));
  }
}
