package dev.guildhall.fuzz;

import static org.junit.jupiter.api.Assertions.assertTrue;

import com.sun.management.ThreadMXBean;
import java.lang.management.ManagementFactory;

/**
 * The oracle that a small input does not cost much memory, whatever lengths it claims: what the
 * thread allocates on the heap, for the oracles as well, is at most some MiB and a multiple of the
 * input.
 */
public final class HeapBound {
  private static final long BASE_BYTES = 4 << 20;
  private static final long PER_INPUT_BYTE = 2000;

  private static final ThreadMXBean THREADS = (ThreadMXBean) ManagementFactory.getThreadMXBean();

  /** What is done with an input. */
  @FunctionalInterface
  public interface Body {
    void check(byte[] input) throws Exception;
  }

  private HeapBound() {}

  /** Runs the body and measures it. */
  public static void check(byte[] input, Body body) throws Exception {
    long allowed = BASE_BYTES + PER_INPUT_BYTE * input.length;
    long allocated = allocated(input, body);
    if (allocated > allowed) {
      // The first time may have loaded classes, which the fuzzer instruments on this thread.
      allocated = allocated(input, body);
    }
    assertTrue(
        allocated <= allowed,
        "%d bytes of input allocated %d bytes".formatted(input.length, allocated));
  }

  private static long allocated(byte[] input, Body body) throws Exception {
    long before = THREADS.getCurrentThreadAllocatedBytes();
    body.check(input);
    return THREADS.getCurrentThreadAllocatedBytes() - before;
  }
}
