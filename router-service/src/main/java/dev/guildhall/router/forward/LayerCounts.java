package dev.guildhall.router.forward;

/**
 * What has become of a layer's requests up to a moment, or between two.
 *
 * @param requests that succeeded
 * @param failed requests
 * @param nanos that those which succeeded took, together
 * @param queueNanos of it, the longest wait of each at an expert service
 * @param tokens of requests that succeeded, as all below
 * @param dropped routes for which their expert had no room
 * @param lost routes whose expert nobody hosted
 * @param routes [experts] chosen by the gate; the array is handed over and only read
 */
public record LayerCounts(
    long requests,
    long failed,
    long nanos,
    long queueNanos,
    long tokens,
    long dropped,
    long lost,
    long[] routes) {

  /** What came after an earlier moment; both of as many experts. */
  public LayerCounts since(LayerCounts earlier) {
    long[] difference = new long[routes.length];
    for (int expert = 0; expert < routes.length; expert++) {
      difference[expert] = routes[expert] - earlier.routes[expert];
    }
    return new LayerCounts(
        requests - earlier.requests,
        failed - earlier.failed,
        nanos - earlier.nanos,
        queueNanos - earlier.queueNanos,
        tokens - earlier.tokens,
        dropped - earlier.dropped,
        lost - earlier.lost,
        difference);
  }
}
