package dev.guildhall.rpc;

import com.google.protobuf.WireFormat;
import io.grpc.HasByteBuffer;
import io.grpc.KnownLength;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;

/**
 * One message being read: payloads go to pooled direct buffers, every other field is copied aside
 * as it stands, for the header's own parser.
 *
 * <p>Used by one thread. Closing it gives the payloads back unless they were taken.
 */
final class TensorInput implements AutoCloseable {
  private static final int MAX_VARINT_BYTES = 10;

  private final InputStream in;
  private final int payloadTag;
  private final int mostPayloads;
  private final ByteArrayOutputStream header = new ByteArrayOutputStream(64);
  private final List<ByteBuf> payloads = new ArrayList<>(1);

  /**
   * @param in a message; only a compressed one comes without its length
   * @param payloadTag of the field that is the payload
   * @param mostPayloads 1: the field is singular; more: it is repeated, and may not be so more
   *     often
   */
  TensorInput(InputStream in, int payloadTag, int mostPayloads) throws IOException {
    // From here on available() is all that is left.
    this.in = in instanceof KnownLength ? in : new ByteArrayInputStream(in.readAllBytes());
    this.payloadTag = payloadTag;
    this.mostPayloads = mostPayloads;
  }

  void readFields() throws IOException {
    while (in.available() > 0) {
      // Protobuf does not look at bits beyond these either.
      int tag = (int) readVarint();
      if (tag == payloadTag) {
        readPayload(readLength());
      } else {
        copyField(tag);
      }
    }
  }

  byte[] headerBytes() {
    return header.toByteArray();
  }

  /** A singular payload, empty if there was none; ownership is transferred to the caller. */
  ByteBuf takePayload() {
    return payloads.isEmpty() ? Unpooled.EMPTY_BUFFER : payloads.removeLast();
  }

  /** The payloads in their order; ownership is transferred to the caller. */
  List<ByteBuf> takePayloads() {
    List<ByteBuf> taken = List.copyOf(payloads);
    payloads.clear();
    return taken;
  }

  @Override
  public void close() {
    payloads.forEach(ByteBuf::release);
    payloads.clear();
  }

  private void readPayload(int length) throws IOException {
    if (mostPayloads == 1) {
      close(); // The last one wins, as for any singular field.
    } else if (payloads.size() == mostPayloads) {
      throw new IOException("more than %d tensors".formatted(mostPayloads));
    }
    if (length == 0) {
      payloads.add(Unpooled.EMPTY_BUFFER);
      return;
    }
    ByteBuf payload = Buffers.allocate(length).clear();
    payloads.add(payload);
    if (in instanceof HasByteBuffer chunks && chunks.byteBufferSupported()) {
      copyChunks(chunks, payload);
    } else {
      while (payload.isWritable() && payload.writeBytes(in, payload.writableBytes()) > 0) {
        // writeBytes may read less than it was asked for.
      }
    }
    if (payload.isWritable()) {
      throw new EOFException(
          "the payload ends after %d of %d bytes"
              .formatted(length - payload.writableBytes(), length));
    }
  }

  private void copyChunks(HasByteBuffer chunks, ByteBuf payload) throws IOException {
    while (payload.isWritable()) {
      ByteBuffer chunk = chunks.getByteBuffer();
      if (chunk == null || !chunk.hasRemaining()) {
        return;
      }
      int step = Math.min(payload.writableBytes(), chunk.remaining());
      payload.writeBytes(chunk.slice(chunk.position(), step));
      in.skipNBytes(step);
    }
  }

  private void copyField(int tag) throws IOException {
    writeVarint(Integer.toUnsignedLong(tag));
    switch (tag & 7) {
      case WireFormat.WIRETYPE_VARINT -> writeVarint(readVarint());
      case WireFormat.WIRETYPE_FIXED64 -> copyBytes(Long.BYTES);
      case WireFormat.WIRETYPE_FIXED32 -> copyBytes(Integer.BYTES);
      case WireFormat.WIRETYPE_LENGTH_DELIMITED -> {
        int length = readLength();
        writeVarint(length);
        copyBytes(length);
      }
      default ->
          throw new IOException(
              "field tag %s has no known wire type".formatted(Integer.toUnsignedString(tag)));
    }
  }

  private void copyBytes(int length) throws IOException {
    byte[] bytes = in.readNBytes(length);
    if (bytes.length < length) {
      throw new EOFException("a field ends after %d of %d bytes".formatted(bytes.length, length));
    }
    header.writeBytes(bytes);
  }

  /** A field's length, which cannot be more than what is left of the message. */
  private int readLength() throws IOException {
    long length = readVarint();
    if (length < 0 || length > in.available()) {
      throw new EOFException(
          "a field of %d bytes where %d are left".formatted(length, in.available()));
    }
    return (int) length;
  }

  private long readVarint() throws IOException {
    long value = 0;
    for (int i = 0; i < MAX_VARINT_BYTES; i++) {
      int b = in.read();
      if (b < 0) {
        throw new EOFException("the message ends inside a number");
      }
      value |= (long) (b & 0x7f) << (7 * i);
      if (b < 0x80) {
        return value;
      }
    }
    throw new IOException("a number of more than %d bytes".formatted(MAX_VARINT_BYTES));
  }

  private void writeVarint(long value) {
    long rest = value;
    while ((rest & ~0x7fL) != 0) {
      header.write((int) (rest & 0x7f) | 0x80);
      rest >>>= 7;
    }
    header.write((int) rest);
  }
}
