package dev.guildhall.expert;

import dev.guildhall.onnx.Device;
import dev.guildhall.repository.ExpertParallel;

/**
 * How an expert service is set up.
 *
 * @param name what its gauges are tagged with, where several share a process
 * @param slice the experts it hosts
 * @param device where they compute
 * @param workers threads that compute
 * @param maxQueuedRows beyond them batches are refused
 * @param maxQueuedBytes likewise, for what they and their results occupy
 */
public record ExpertOptions(
    String name,
    ExpertParallel slice,
    Device device,
    int workers,
    int maxQueuedRows,
    long maxQueuedBytes) {

  public static final int DEFAULT_PORT = 8101;

  /** With the default bounds of the queue. */
  public static ExpertOptions of(String name, ExpertParallel slice, Device device, int workers) {
    return new ExpertOptions(name, slice, device, workers, 1 << 16, 1L << 30);
  }
}
