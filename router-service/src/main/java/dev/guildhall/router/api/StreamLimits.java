package dev.guildhall.router.api;

import io.grpc.Context;
import io.grpc.Deadline;
import java.time.Duration;
import java.util.OptionalLong;
import java.util.concurrent.Future;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;

/**
 * How long requests and streams may last.
 *
 * @param defaultTimeout of a request that brings no deadline
 * @param maxAge after which a stream takes no more requests and ends well; its client opens the
 *     next one, perhaps at another router
 * @param timer runs the ends of streams; they do not block it
 */
public record StreamLimits(
    Duration defaultTimeout, Duration maxAge, ScheduledExecutorService timer) {
  private static final double SPREAD = 0.1;

  /** What is left of the time of the call that is being served, if its caller has set an end. */
  public static OptionalLong callNanos() {
    Deadline deadline = Context.current().getDeadline();
    return deadline == null
        ? OptionalLong.empty()
        : OptionalLong.of(deadline.timeRemaining(TimeUnit.NANOSECONDS));
  }

  /** How long the call that is being served may take from now. */
  long timeoutNanos() {
    return callNanos().orElse(defaultTimeout.toNanos());
  }

  /** Runs the end of a stream at its age, or up to a tenth later, so that not all end together. */
  public Future<?> atMaxAge(Runnable end) {
    double share = ThreadLocalRandom.current().nextDouble(1, 1 + SPREAD);
    return timer.schedule(end, (long) (share * maxAge.toNanos()), TimeUnit.NANOSECONDS);
  }
}
