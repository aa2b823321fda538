package dev.guildhall.cli;

import dev.guildhall.tensor.DType;

/** The element types that hidden states travel in, by the names that flags take. */
@SuppressWarnings("ConstantField")
public enum WireDtype {
  fp32(DType.FP32),
  bf16(DType.BF16),
  fp16(DType.FP16);

  private final DType dtype;

  WireDtype(DType dtype) {
    this.dtype = dtype;
  }

  public DType dtype() {
    return dtype;
  }
}
