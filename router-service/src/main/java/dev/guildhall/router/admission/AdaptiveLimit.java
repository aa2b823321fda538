package dev.guildhall.router.admission;

import java.util.concurrent.TimeUnit;

/**
 * How many tokens may be in flight, found by how long batches wait at the experts. A standing queue
 * adds latency and no throughput (CoDel, Nichols and Jacobson, "Controlling Queue Delay"): when it
 * takes too much of the requests' time, the limit is cut to what is in flight and less; when it is
 * short and the limit in use, the limit grows.
 *
 * <p>The libraries for this compare the round-trip times of requests that are alike; a layer's
 * differ a thousandfold in size, while the time in the queue tells the load whatever the size.
 * Thread-safe; time is passed in, on the clock of {@link System#nanoTime}.
 */
public final class AdaptiveLimit {
  private static final long WINDOW_NANOS = TimeUnit.MILLISECONDS.toNanos(100);

  /** A queue that takes more of a request's time makes others miss their deadlines. */
  private static final int SHARE_OF_DEADLINE = 4;

  /** Nobody is helped by a longer queue, unless the work itself takes long. */
  private static final long LONG_NANOS = TimeUnit.SECONDS.toNanos(1);

  private static final int LONG_IN_WORK = 8;

  /** Missing a shorter deadline says little about the load. */
  private static final long LEAST_DEADLINE_NANOS = TimeUnit.MILLISECONDS.toNanos(50);

  /** As a share of what is too long. */
  private static final double SOME_QUEUE = 0.25;

  private static final double STEEPEST_CUT = 0.25;
  private static final double LEAST_CUT = 0.9;
  private static final double GROWTH = 1.1;

  /** So that small limits grow too. */
  private static final long LEAST_STEP = 16;

  private final long most;
  private volatile long tokens;

  /** What began before the last change tells of the limit before. */
  private long changed;

  private long windowStart;
  private double load;
  private int samples;
  private double answeredLoad;
  private int answered;
  private long mostInFlight;

  /**
   * A limit that begins with its most.
   *
   * @param most tokens
   */
  public AdaptiveLimit(long most, long now) {
    this.most = most;
    this.tokens = most;
    this.changed = now;
  }

  /** Tokens that may be in flight now. */
  public long tokens() {
    return tokens;
  }

  /**
   * A request in flight, for what it can tell.
   *
   * @param startNanos when it was let in
   * @param allowedNanos from then to its deadline
   * @param inFlight tokens, now
   */
  public record Sample(long startNanos, long allowedNanos, long inFlight) {}

  /**
   * A request was answered.
   *
   * @param waitNanos the time it waited for others at the experts
   * @param workNanos the time it took at the experts without that
   */
  public synchronized void answered(Sample request, long waitNanos, long workNanos, long now) {
    long tooLong =
        Math.min(
            Math.max(request.allowedNanos(), LEAST_DEADLINE_NANOS) / SHARE_OF_DEADLINE,
            Math.max(LONG_NANOS, LONG_IN_WORK * workNanos));
    double queueLoad = waitNanos / (double) tooLong;
    if (isOfNow(request)) {
      answeredLoad += queueLoad;
      answered++;
    }
    take(request, queueLoad, now);
  }

  /**
   * A request missed its deadline. That says something of the load only where requests that did not
   * have had to wait too, or there are none.
   */
  public synchronized void expired(Sample request, long now) {
    closeWindow(now); // Else answers of long ago would speak for now, if there are none since.
    if (request.allowedNanos() >= LEAST_DEADLINE_NANOS
        && (answered == 0 || answeredLoad > SOME_QUEUE * answered)) {
      take(request, SHARE_OF_DEADLINE, now);
    }
  }

  /** A request was refused by experts that are full. */
  public synchronized void refused(Sample request, long now) {
    take(request, SHARE_OF_DEADLINE, now);
  }

  private boolean isOfNow(Sample request) {
    return request.startNanos() - changed >= 0;
  }

  private void take(Sample request, double queueLoad, long now) {
    if (!isOfNow(request)) {
      return;
    }
    if (samples == 0) {
      windowStart = now;
    }
    load += queueLoad;
    samples++;
    mostInFlight = Math.max(mostInFlight, request.inFlight());
    closeWindow(now);
  }

  private void closeWindow(long now) {
    if (samples > 0 && now - windowStart >= WINDOW_NANOS) {
      adapt(load / samples, now);
      load = 0;
      samples = 0;
      answeredLoad = 0;
      answered = 0;
      mostInFlight = 0;
    }
  }

  private void adapt(double meanLoad, long now) {
    long before = tokens;
    if (meanLoad > 1) {
      double cut = Math.clamp(1 / meanLoad, STEEPEST_CUT, LEAST_CUT);
      // The wait follows what is in flight, and the limit may be far above that.
      tokens = Math.max(1, (long) (cut * Math.min(tokens, mostInFlight)));
    } else if (2 * mostInFlight >= tokens) {
      tokens = Math.min(most, Math.max(tokens + LEAST_STEP, (long) (GROWTH * tokens)));
    }
    if (tokens != before) {
      changed = now;
    }
  }
}
