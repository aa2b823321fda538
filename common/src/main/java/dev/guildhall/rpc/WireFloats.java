package dev.guildhall.rpc;

import static dev.guildhall.error.GuildhallException.invalidArgument;

import dev.guildhall.proto.Dtype;
import dev.guildhall.tensor.DType;
import dev.guildhall.tensor.Floats;
import io.netty.buffer.ByteBuf;

/** Payloads of the float types that go over the wire, to and from the fp32 that is computed in. */
public final class WireFloats {
  private WireFloats() {}

  /**
   * The element type of a message.
   *
   * @throws dev.guildhall.error.GuildhallException INVALID_ARGUMENT for one that is not a float
   *     type
   */
  public static DType dtype(Dtype dtype) {
    return switch (dtype) {
      case DTYPE_FP32 -> DType.FP32;
      case DTYPE_FP16 -> DType.FP16;
      case DTYPE_BF16 -> DType.BF16;
      case DTYPE_UNSPECIFIED, UNRECOGNIZED ->
          throw invalidArgument(
              "dtype is %s; allowed is DTYPE_FP32, DTYPE_FP16 or DTYPE_BF16".formatted(dtype));
    };
  }

  /**
   * The name of an element type in a message.
   *
   * @throws dev.guildhall.error.GuildhallException INVALID_ARGUMENT for one that is not a float
   *     type
   */
  public static Dtype proto(DType dtype) {
    return switch (dtype) {
      case FP32 -> Dtype.DTYPE_FP32;
      case FP16 -> Dtype.DTYPE_FP16;
      case BF16 -> Dtype.DTYPE_BF16;
      default ->
          throw invalidArgument("dtype is %s; allowed is FP32, FP16 or BF16".formatted(dtype));
    };
  }

  /**
   * A payload as fp32: itself if it is that already, otherwise a new buffer.
   *
   * @param payload ownership is transferred
   * @return owned by the caller
   */
  public static ByteBuf toFp32(ByteBuf payload, DType dtype) {
    if (dtype == DType.FP32) {
      return payload;
    }
    try {
      int elements = payload.readableBytes() / dtype.bytes();
      ByteBuf fp32 = Buffers.allocate(Math.multiplyExact(elements, Float.BYTES));
      Floats.toFp32(dtype, Buffers.segment(payload), Buffers.segment(fp32), elements);
      return fp32;
    } finally {
      payload.release();
    }
  }

  /**
   * An fp32 payload as another type: itself if that is fp32, otherwise rounded into a new buffer.
   *
   * @param fp32 ownership is transferred
   * @return owned by the caller
   */
  public static ByteBuf fromFp32(ByteBuf fp32, DType dtype) {
    if (dtype == DType.FP32) {
      return fp32;
    }
    try {
      int elements = fp32.readableBytes() / Float.BYTES;
      ByteBuf payload = Buffers.allocate(elements * dtype.bytes());
      Floats.fromFp32(dtype, Buffers.segment(fp32), Buffers.segment(payload), elements);
      return payload;
    } finally {
      fp32.release();
    }
  }
}
