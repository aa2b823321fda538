package dev.guildhall.router.admission;

import dev.guildhall.error.ErrorCode;
import dev.guildhall.error.GuildhallException;
import java.util.concurrent.atomic.AtomicLong;

/** Bounds the tokens in flight in a router. Thread-safe. */
public final class TokenBudget {
  private final long limit;
  private final AtomicLong inFlight = new AtomicLong();

  public TokenBudget(long limit) {
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
    if (tokens > limit) {
      throw GuildhallException.invalidArgument(
          "the request has %d tokens; allowed are up to %d".formatted(tokens, limit));
    }
    long before = inFlight.get();
    while (before + tokens <= limit) {
      long witness = inFlight.compareAndExchange(before, before + tokens);
      if (witness == before) {
        return;
      }
      before = witness;
    }
    throw new GuildhallException(
        ErrorCode.RESOURCE_EXHAUSTED,
        "%d tokens are in flight and the request has %d; allowed are %d at once, try again later"
            .formatted(before, tokens, limit));
  }

  public void release(long tokens) {
    inFlight.addAndGet(-tokens);
  }
}
