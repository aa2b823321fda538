package dev.guildhall.router.forward;

/**
 * Hears how one request ended: exactly one of its methods is called, once, on whichever thread
 * brought the end; it must not block.
 */
public interface ForwardListener {
  /** Ownership of the result's output is transferred. */
  void succeeded(ForwardResult result);

  void failed(Throwable failure);
}
