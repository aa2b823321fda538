package dev.guildhall.router.api.oip;

import io.netty.buffer.ByteBuf;

/**
 * A tensor of a request or an answer.
 *
 * @param data elements in row-major order, little-endian, BOOL in a byte each; owned by whoever
 *     holds the tensor
 */
public record InferTensor(TensorSpec spec, ByteBuf data) implements AutoCloseable {
  @Override
  public void close() {
    data.release();
  }
}
