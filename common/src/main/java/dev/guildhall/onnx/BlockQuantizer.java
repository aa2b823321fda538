package dev.guildhall.onnx;

import com.google.protobuf.ByteString;
import com.google.protobuf.UnsafeByteOperations;
import dev.guildhall.error.GuildhallException;
import dev.guildhall.safetensors.StoredTensor;
import dev.guildhall.tensor.Floats;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/**
 * Weights of a few bits, as ONNX Runtime's MatMulNBits reads them: each row is cut into blocks, of
 * which each has a scale, and value q of a block stands for {@code (q - zero) * scale}, where zero
 * is the middle of the range.
 *
 * @param bits 4 or 8
 */
record BlockQuantizer(int bits) {
  static final BlockQuantizer INT4 = new BlockQuantizer(4);
  static final BlockQuantizer INT8 = new BlockQuantizer(8);

  /** Weights in a block. */
  static final int BLOCK = 64;

  /**
   * A quantised weight.
   *
   * @param values [out, perRow, blockBytes]; of 4 bits the lower half of a byte comes first
   * @param scales [out, perRow] fp32
   * @param perRow blocks in a row; the last one may be filled up
   */
  record Blocks(ByteString values, ByteString scales, int perRow) {}

  int blockBytes() {
    return BLOCK * bits / Byte.SIZE;
  }

  /**
   * Quantises a weight [out, in] of fp32, fp16 or bf16.
   *
   * @throws GuildhallException INVALID_ARGUMENT if the result reaches 2 GiB
   */
  Blocks quantize(StoredTensor weight) {
    int out = Math.toIntExact(weight.shape().getFirst());
    int in = Math.toIntExact(weight.shape().getLast());
    int perRow = Math.ceilDiv(in, BLOCK);
    long blocks = (long) out * perRow;
    if (blocks * blockBytes() > WeightTensor.MAX_BYTES) {
      throw GuildhallException.invalidArgument(
          "a weight %s takes %d bytes in %d bits; it must stay below 2 GiB"
              .formatted(weight.shape(), blocks * blockBytes(), bits));
    }
    byte[] values = new byte[(int) blocks * blockBytes()];
    ByteBuffer scales =
        ByteBuffer.allocate((int) blocks * Float.BYTES).order(ByteOrder.nativeOrder());
    float[] row = new float[perRow * BLOCK];
    long rowBytes = (long) in * weight.dtype().bytes();
    for (int r = 0; r < out; r++) {
      Floats.toArray(weight.dtype(), weight.data().asSlice(r * rowBytes, rowBytes), row, in);
      for (int block = 0; block < perRow; block++) {
        float scale = scale(row, block * BLOCK);
        scales.putFloat(scale);
        pack(row, block * BLOCK, scale, values, (r * perRow + block) * blockBytes());
      }
    }
    return new Blocks(
        UnsafeByteOperations.unsafeWrap(values),
        UnsafeByteOperations.unsafeWrap(scales.flip()),
        perRow);
  }

  /** The range has one value more below zero: the largest magnitude gets it. */
  private float scale(float[] row, int from) {
    float extreme = 0;
    for (int i = from; i < from + BLOCK; i++) {
      if (Math.abs(row[i]) > Math.abs(extreme)) {
        extreme = row[i];
      }
    }
    return extreme / -zero();
  }

  private int zero() {
    return 1 << (bits - 1);
  }

  private void pack(float[] row, int from, float scale, byte[] values, int to) {
    float inverse = scale == 0 ? 0 : 1 / scale;
    int perByte = Byte.SIZE / bits;
    for (int i = 0; i < BLOCK; i++) {
      int q = Math.round(row[from + i] * inverse) + zero();
      int value = Math.clamp(q, 0, 2 * zero() - 1);
      values[to + i / perByte] |= (byte) (value << (i % perByte * bits));
    }
  }
}
