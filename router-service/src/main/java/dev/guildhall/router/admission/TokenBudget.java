package dev.guildhall.router.admission;

import dev.guildhall.error.ErrorCode;
import dev.guildhall.error.GuildhallException;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.LongSupplier;

/** Bounds the tokens in flight in a router. Thread-safe. */
public final class TokenBudget {
  private final long most;
  private final LongSupplier limit;
  private final AtomicLong inFlight = new AtomicLong();

  /** A budget of so many tokens. */
  public TokenBudget(long most) {
    this(most, () -> most);
  }

  /**
   * A budget that changes.
   *
   * @param most tokens, whatever the limit says
   * @param limit of the moment; a request may pass it if the ones before it have not, so that large
   *     requests get in as small ones do
   */
  public TokenBudget(long most, LongSupplier limit) {
    this.most = most;
    this.limit = limit;
  }

  public long inFlight() {
    return inFlight.get();
  }

  /**
   * Lets a request in; {@link #release} must follow with the same number.
   *
   * @throws GuildhallException RESOURCE_EXHAUSTED when the tokens in flight would pass the limit;
   *     INVALID_ARGUMENT for a request that never fits
   */
  public void acquire(long tokens) {
    if (tokens > most) {
      throw GuildhallException.invalidArgument(
          "the request has %d tokens; allowed are up to %d".formatted(tokens, most));
    }
    long allowed = limit.getAsLong();
    long before = inFlight.get();
    while (tokens == 0 || (before < allowed && before + tokens <= most)) {
      long witness = inFlight.compareAndExchange(before, before + tokens);
      if (witness == before) {
        return;
      }
      before = witness;
    }
    throw new GuildhallException(
        ErrorCode.RESOURCE_EXHAUSTED,
        "%d tokens are in flight and the request has %d; allowed are %d at once, try again later"
            .formatted(before, tokens, allowed));
  }

  /**
   * Looks whether any request may be let in now.
   *
   * @throws GuildhallException RESOURCE_EXHAUSTED if not
   */
  public void check() {
    long now = inFlight.get();
    long allowed = limit.getAsLong();
    if (now >= allowed) {
      throw new GuildhallException(
          ErrorCode.RESOURCE_EXHAUSTED,
          "%d tokens are in flight; allowed are %d at once, try again later"
              .formatted(now, allowed));
    }
  }

  public void release(long tokens) {
    inFlight.addAndGet(-tokens);
  }
}
