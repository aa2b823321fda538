package dev.guildhall.tensor;

/** Element types of tensors, by the names that .safetensors files use. */
public enum DType {
  FP64("F64", 8),
  FP32("F32", 4),
  FP16("F16", 2),
  BF16("BF16", 2),
  INT64("I64", 8),
  INT32("I32", 4),
  INT16("I16", 2),
  INT8("I8", 1),
  UINT8("U8", 1),
  BOOL("BOOL", 1);

  private final String safetensorsName;
  private final int bytes;

  DType(String safetensorsName, int bytes) {
    this.safetensorsName = safetensorsName;
    this.bytes = bytes;
  }

  public String safetensorsName() {
    return safetensorsName;
  }

  /** Bytes of one element. */
  public int bytes() {
    return bytes;
  }
}
