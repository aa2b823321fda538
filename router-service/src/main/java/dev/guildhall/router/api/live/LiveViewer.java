package dev.guildhall.router.api.live;

import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;

/**
 * Somebody who looks at the live page: messages on their way, which the feed puts in and the
 * viewer's own thread takes out. One who is far behind is dropped.
 */
public final class LiveViewer implements AutoCloseable {
  /** More than this behind, in seconds, more or less, and the viewer is dropped. */
  static final int MOST_WAITING = 8;

  private static final byte[] END = new byte[0];

  private final BlockingQueue<byte[]> messages = new ArrayBlockingQueue<>(MOST_WAITING);
  private final Consumer<LiveViewer> leave;
  private volatile boolean over;
  private volatile Runnable onDropped = () -> {};

  /**
   * @param leave how the feed is told that nobody looks any more
   */
  LiveViewer(Consumer<LiveViewer> leave) {
    this.leave = leave;
  }

  /** Runs when the viewer is too far behind, whose thread may be stuck in writing. */
  public void onDropped(Runnable action) {
    onDropped = action;
    if (over) {
      action.run();
    }
  }

  /**
   * Takes a message in; does not block.
   *
   * @return whether the viewer is still there
   */
  boolean offer(byte[] message) {
    if (over) {
      return false;
    }
    if (messages.offer(message)) {
      return true;
    }
    over = true;
    end();
    onDropped.run();
    return false;
  }

  /** Nothing comes any more; does not block. */
  void end() {
    messages.clear();
    messages.add(END);
  }

  /**
   * The next message, in the form of server-sent events.
   *
   * @return none at the end, or if nothing comes for so long
   */
  public Optional<byte[]> next(Duration most) throws InterruptedException {
    byte[] message = messages.poll(most.toNanos(), TimeUnit.NANOSECONDS);
    return message == null || message.length == 0 ? Optional.empty() : Optional.of(message);
  }

  @Override
  public void close() {
    leave.accept(this);
  }
}
