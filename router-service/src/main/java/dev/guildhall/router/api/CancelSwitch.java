package dev.guildhall.router.api;

import org.jspecify.annotations.Nullable;

/**
 * Joins a cancellation that may come before what it is to cancel has been started. Thread-safe; the
 * action runs at most once.
 */
public final class CancelSwitch implements Runnable {
  private @Nullable Runnable action;
  private boolean cancelled;

  /** Says how to cancel; done at once if the cancellation has come already. */
  public void set(Runnable cancel) {
    synchronized (this) {
      if (!cancelled) {
        action = cancel;
        return;
      }
    }
    cancel.run();
  }

  /** Cancels. */
  @Override
  public void run() {
    Runnable cancel;
    synchronized (this) {
      cancelled = true;
      cancel = action;
      action = null;
    }
    if (cancel != null) {
      cancel.run();
    }
  }
}
