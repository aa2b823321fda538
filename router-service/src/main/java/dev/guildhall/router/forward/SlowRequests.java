package dev.guildhall.router.forward;

import dev.guildhall.error.ErrorCode;
import java.time.Duration;
import java.util.Locale;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.LongSupplier;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Logs requests that took long, and where their time went: one a second at most, with the number of
 * those that were left out since. Thread-safe.
 */
public final class SlowRequests {
  /** Logs none. */
  public static final SlowRequests NONE = new SlowRequests(Long.MAX_VALUE, System::nanoTime);

  private static final Logger log = LoggerFactory.getLogger(SlowRequests.class);

  private static final long PAUSE_NANOS = TimeUnit.SECONDS.toNanos(1);

  private final long slowNanos;
  private final LongSupplier clock;
  private final AtomicLong nextNanos;
  private final AtomicInteger leftOut = new AtomicInteger();

  private SlowRequests(long slowNanos, LongSupplier clock) {
    this.slowNanos = slowNanos;
    this.clock = clock;
    this.nextNanos = new AtomicLong(clock.getAsLong());
  }

  /**
   * Logs those that take longer.
   *
   * @param clock nanoseconds, as of {@link System#nanoTime}
   */
  public static SlowRequests over(Duration duration, LongSupplier clock) {
    return new SlowRequests(duration.toNanos(), clock);
  }

  /**
   * Looks at a request that has ended.
   *
   * @param failure what it ended with; null: it was answered
   * @param split is asked for if it is logged
   */
  void ended(ForwardJob job, long nanos, @Nullable Throwable failure, Supplier<TimeSplit> split) {
    if (nanos <= slowNanos) {
      return;
    }
    long now = clock.getAsLong();
    long next = nextNanos.get();
    if (now - next < 0 || !nextNanos.compareAndSet(next, now + PAUSE_NANOS)) {
      leftOut.incrementAndGet();
      return;
    }
    int others = leftOut.getAndSet(0);
    job.trace()
        .logging(() ->
            log.warn(
                "slow request to layer {}, {} tokens: {} after {} ms: {}{}",
                job.layer().name(),
                job.tokens(),
                failure == null ? "answered" : ErrorCode.of(failure),
                TimeSplit.millis(nanos),
                split.get(),
                others == 0
                    ? ""
                    : String.format(Locale.ROOT, "; %d more were not logged", others)));
  }
}
