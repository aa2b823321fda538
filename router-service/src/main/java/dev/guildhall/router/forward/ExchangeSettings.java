package dev.guildhall.router.forward;

import dev.guildhall.tensor.DType;

/**
 * How rows travel between a router and its expert services.
 *
 * @param maxBatchBytes of one batch in fp32; what is larger is split, so that compute starts before
 *     the transfer ends
 * @param wireDtype FP32, or FP16 or BF16 to halve the bytes at the price of rounding rows both ways
 */
public record ExchangeSettings(int maxBatchBytes, DType wireDtype) {

  /** Rows of one batch; at least one. */
  int maxRows(int hiddenSize) {
    return Math.max(1, maxBatchBytes / (hiddenSize * Float.BYTES));
  }
}
