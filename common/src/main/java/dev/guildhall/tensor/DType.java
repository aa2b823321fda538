package dev.guildhall.tensor;

/**
 * Element types of tensors, by the names that .safetensors files use. Those after {@link #BOOL} are
 * known so that a file which has some beside others can be read; nothing computes with them.
 */
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
  BOOL("BOOL", 1),
  UINT16("U16", 2),
  UINT32("U32", 4),
  UINT64("U64", 8),
  FP8_E4M3("F8_E4M3", 1),
  FP8_E5M2("F8_E5M2", 1),
  FP8_E8M0("F8_E8M0", 1),
  COMPLEX64("C64", 8);

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
