package dev.guildhall.rpc;

import com.google.protobuf.MessageLite;
import io.grpc.Drainable;
import io.grpc.KnownLength;
import io.netty.buffer.ByteBuf;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import org.jspecify.annotations.Nullable;

/**
 * One message being sent: a prefix of header bytes, then the payload, then what comes after it.
 *
 * <p>Holds a reference to the payload until it is closed, which gRPC does when the message is
 * written. Used by one thread.
 */
final class TensorOutput extends InputStream implements Drainable, KnownLength {
  /** Scratch between direct memory and gRPC's framer, which takes arrays only. */
  private static final int CHUNK_BYTES = 64 << 10;

  /** Below this a copy is cheaper than a second buffer with a frame of its own. */
  private static final int LEND_FROM_BYTES = 32 << 10;

  private static final ThreadLocal<byte[]> CHUNK =
      ThreadLocal.withInitial(() -> new byte[CHUNK_BYTES]);

  private final MessageLite header;
  private final byte[] prefix;
  private final ByteBuf payload;
  private final byte[] suffix;
  private int prefixRead;
  private int suffixRead;
  private LendingAllocator.@Nullable Loan loan;
  private boolean closed;

  /** Takes over one reference to the payload. */
  TensorOutput(MessageLite header, byte[] prefix, ByteBuf payload, byte[] suffix) {
    this.header = header;
    this.prefix = prefix;
    this.payload = payload;
    this.suffix = suffix;
  }

  MessageLite header() {
    return header;
  }

  /** The payload with a reference for the caller. */
  ByteBuf retainedPayload() {
    return payload.retainedSlice();
  }

  /** gRPC's framer asks this first, then for buffers, then for the bytes. */
  @Override
  public int available() {
    int payloadBytes = payload.readableBytes();
    if (payloadBytes >= LEND_FROM_BYTES && prefixRead == 0) {
      loan = LendingAllocator.begin(prefix, payload);
    }
    return left();
  }

  private int left() {
    return prefix.length - prefixRead + payload.readableBytes() + suffix.length - suffixRead;
  }

  @Override
  public int drainTo(OutputStream target) throws IOException {
    int total = left();
    target.write(prefix, prefixRead, prefix.length - prefixRead);
    prefixRead = prefix.length;
    if (loan != null && loan.lendPayload()) {
      handOver(target);
    } else {
      endLoan();
      copy(target);
    }
    target.write(suffix, suffixRead, suffix.length - suffixRead);
    suffixRead = suffix.length;
    return total;
  }

  /** The framer's next buffer is the payload itself: what is "written" to it is not looked at. */
  private void handOver(OutputStream target) throws IOException {
    byte[] anything = CHUNK.get();
    for (int left = payload.readableBytes(); left > 0; left -= anything.length) {
      target.write(anything, 0, Math.min(anything.length, left));
    }
    payload.skipBytes(payload.readableBytes());
  }

  private void copy(OutputStream target) throws IOException {
    byte[] chunk = CHUNK.get();
    while (payload.isReadable()) {
      int step = Math.min(chunk.length, payload.readableBytes());
      payload.readBytes(chunk, 0, step);
      target.write(chunk, 0, step);
    }
  }

  private void endLoan() {
    if (loan != null) {
      loan = null;
      LendingAllocator.end();
    }
  }

  @Override
  public int read() {
    if (prefixRead < prefix.length) {
      return prefix[prefixRead++] & 0xff;
    }
    if (payload.isReadable()) {
      return payload.readUnsignedByte();
    }
    return suffixRead < suffix.length ? suffix[suffixRead++] & 0xff : -1;
  }

  @Override
  public int read(byte[] target, int offset, int length) {
    if (length == 0) {
      return 0;
    }
    if (prefixRead < prefix.length) {
      int step = Math.min(length, prefix.length - prefixRead);
      System.arraycopy(prefix, prefixRead, target, offset, step);
      prefixRead += step;
      return step;
    }
    if (payload.isReadable()) {
      int step = Math.min(length, payload.readableBytes());
      payload.readBytes(target, offset, step);
      return step;
    }
    int step = Math.min(length, suffix.length - suffixRead);
    System.arraycopy(suffix, suffixRead, target, offset, step);
    suffixRead += step;
    return step == 0 ? -1 : step;
  }

  @Override
  public void close() {
    if (!closed) {
      closed = true;
      endLoan();
      payload.release();
    }
  }
}
