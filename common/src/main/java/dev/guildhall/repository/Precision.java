package dev.guildhall.repository;

/** What experts compute in. */
public enum Precision {
  FP32("fp32"),
  /** On CUDA only. */
  FP16("fp16"),
  /** Weights of 8 bits, inputs rounded to 8 bits, sums in fp32. */
  INT8("int8"),
  /** Weights of 4 bits, inputs rounded to 8 bits, sums in fp32. */
  INT4("int4");

  private final String configName;

  Precision(String configName) {
    this.configName = configName;
  }

  /** The name that layer.json uses. */
  public String configName() {
    return configName;
  }
}
