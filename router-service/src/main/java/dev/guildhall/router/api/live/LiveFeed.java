package dev.guildhall.router.api.live;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.ScheduledThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.function.Supplier;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Samples the router once a second for all who look at it, on a thread of its own. While nobody
 * does, it reads the counters once in a column's time, so that the next one who comes sees the last
 * minutes. Thread-safe.
 */
public final class LiveFeed implements AutoCloseable {
  private static final Logger log = LoggerFactory.getLogger(LiveFeed.class);

  /** A page for each of a team; beyond them a new one is refused. */
  public static final int MOST_VIEWERS = 32;

  private static final int SAMPLE_SECONDS = 1;

  private final Supplier<LiveReading> source;

  // Guarded by this object's lock.
  private final LiveHistory history;
  private final List<LiveViewer> viewers = new ArrayList<>();
  private boolean closed;

  private final ScheduledExecutorService sampler =
      new ScheduledThreadPoolExecutor(
          1, Thread.ofPlatform().daemon().name("guildhall-live").factory());

  private LiveFeed(Supplier<LiveReading> source) {
    this.source = source;
    this.history = new LiveHistory(source.get());
  }

  /** Starts to sample. */
  public static LiveFeed start(Supplier<LiveReading> source) {
    LiveFeed feed = new LiveFeed(source);
    // Goes on until the thread ends: sampleSafely catches what it meets.
    var _ =
        feed.sampler.scheduleWithFixedDelay(
            feed::sampleSafely, SAMPLE_SECONDS, SAMPLE_SECONDS, TimeUnit.SECONDS);
    return feed;
  }

  /** One that samples when it is told to. */
  static LiveFeed unscheduled(Supplier<LiveReading> source) {
    return new LiveFeed(source);
  }

  private void sampleSafely() {
    try {
      sample(System.nanoTime());
    } catch (RuntimeException e) {
      log.error("the live page could not be told how the router does", e);
    }
  }

  /** Reads what is due, and tells those who look. */
  synchronized void sample(long nanos) {
    if (viewers.isEmpty() && !history.isDue(nanos)) {
      return;
    }
    history.add(source.get());
    if (!viewers.isEmpty()) {
      byte[] message = LiveJson.snapshot(history.snapshot());
      viewers.removeIf(viewer -> !viewer.offer(message));
    }
  }

  /**
   * Begins to look: the first messages are there at once, the others come each second.
   *
   * @return none while as many look as may, or after the end
   */
  public synchronized Optional<LiveViewer> join() {
    if (closed || viewers.size() >= MOST_VIEWERS) {
      return Optional.empty();
    }
    if (viewers.isEmpty()) {
      history.add(source.get()); // The last may be some seconds old.
    }
    LiveViewer viewer = new LiveViewer(this::leave);
    viewer.offer(LiveJson.past(history.past()));
    viewer.offer(LiveJson.snapshot(history.snapshot()));
    viewers.add(viewer);
    return Optional.of(viewer);
  }

  private synchronized void leave(LiveViewer viewer) {
    viewers.remove(viewer);
  }

  synchronized int viewers() {
    return viewers.size();
  }

  /** Ends what is looked at. */
  @Override
  public void close() {
    sampler.shutdownNow();
    synchronized (this) {
      closed = true;
      viewers.forEach(LiveViewer::end);
      viewers.clear();
    }
  }
}
