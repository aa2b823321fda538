package dev.guildhall.router.api.http;

import dev.guildhall.router.api.CancelSwitch;
import dev.guildhall.router.forward.ForwardListener;
import dev.guildhall.router.forward.ForwardResult;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;

/** Waits for the end of one request, which comes at its deadline at the latest. */
final class ForwardWait implements ForwardListener, Runnable {
  private final CompletableFuture<ForwardResult> end = new CompletableFuture<>();
  private final CancelSwitch cancel = new CancelSwitch();

  /** Says how to give the request up. */
  void cancelWith(Runnable how) {
    cancel.set(how);
  }

  /** Gives the request up. */
  @Override
  public void run() {
    cancel.run();
  }

  @Override
  public void succeeded(ForwardResult result) {
    end.complete(result);
  }

  @Override
  public void failed(Throwable failure) {
    end.completeExceptionally(failure);
  }

  /** Ownership of the result's output is transferred to the caller. */
  ForwardResult result() {
    try {
      return end.join();
    } catch (CompletionException e) {
      throw switch (e.getCause()) {
        case RuntimeException known -> known;
        case null, default -> e;
      };
    }
  }
}
