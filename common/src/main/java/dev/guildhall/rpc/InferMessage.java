package dev.guildhall.rpc;

import dev.guildhall.proto.inference.ModelInferRequest;
import io.netty.buffer.ByteBuf;
import java.util.List;

/**
 * A request of the Open Inference Protocol whose raw tensors stand beside its other fields, in
 * pooled direct memory. Whoever holds it owns a reference to each and ends it with {@link #close()}
 * or {@link #takeRaw()}.
 *
 * @param header every field but {@code raw_input_contents}
 * @param raw these
 */
public record InferMessage(ModelInferRequest header, List<ByteBuf> raw) implements AutoCloseable {
  public InferMessage {
    raw = List.copyOf(raw);
  }

  /** The raw tensors; ownership of this message's references is transferred to the caller. */
  public List<ByteBuf> takeRaw() {
    return raw;
  }

  /** Bytes of all raw tensors together. */
  public int rawBytes() {
    return raw.stream().mapToInt(ByteBuf::readableBytes).sum();
  }

  @Override
  public void close() {
    raw.forEach(ByteBuf::release);
  }
}
