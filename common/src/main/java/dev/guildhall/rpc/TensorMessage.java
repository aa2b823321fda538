package dev.guildhall.rpc;

import static java.util.Objects.requireNonNull;

import com.google.protobuf.MessageLite;
import io.netty.buffer.ByteBuf;
import java.lang.foreign.MemorySegment;

/**
 * A message whose tensor stands beside its other fields, in pooled direct memory.
 *
 * <p>Ownership: whoever holds the message owns one reference to its payload and ends it with {@link
 * #close()} or {@link #takePayload()}. Sending on a stream that is ready borrows: gRPC takes a
 * reference of its own, so the sender closes the message when {@code onNext} has returned. A call
 * that still waits for its channel keeps the message itself, and must not be sent to.
 *
 * @param header every field but the payload
 * @param payload the tensor's bytes from reader to writer index; empty if there is none
 */
public record TensorMessage<H extends MessageLite>(H header, ByteBuf payload)
    implements AutoCloseable {

  public TensorMessage {
    requireNonNull(header, "header is null");
    requireNonNull(payload, "payload is null");
  }

  /** The payload as one native segment, valid as long as this message's reference is held. */
  public MemorySegment segment() {
    return Buffers.segment(payload);
  }

  /** The payload; ownership of this message's reference is transferred to the caller. */
  public ByteBuf takePayload() {
    return payload;
  }

  @Override
  public void close() {
    payload.release();
  }
}
