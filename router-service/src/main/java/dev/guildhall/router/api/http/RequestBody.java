package dev.guildhall.router.api.http;

import io.netty.buffer.ByteBuf;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import org.eclipse.jetty.http.HttpException;
import org.eclipse.jetty.http.HttpStatus;
import org.eclipse.jetty.io.Content;
import org.eclipse.jetty.util.Blocker;
import org.jspecify.annotations.Nullable;

/**
 * A request's body, read as it comes, up to a bound. Blocks; used by one thread.
 *
 * @apiNote whoever reads it closes it, also if it fails
 */
final class RequestBody extends InputStream {
  private final Content.Source source;
  private final long most;
  private Content.@Nullable Chunk chunk;
  private long taken;
  private boolean over;

  /**
   * @param most bytes, unpacked
   */
  RequestBody(Content.Source source, long most) {
    this.source = source;
    this.most = most;
  }

  /** Bytes that may still come. */
  long room() {
    return most - taken;
  }

  @Override
  public int read() throws IOException {
    byte[] one = new byte[1];
    return read(one, 0, 1) < 0 ? -1 : one[0] & 0xff;
  }

  @Override
  public int read(byte[] target, int offset, int length) throws IOException {
    ByteBuffer next = length == 0 ? null : next();
    if (next == null) {
      return length == 0 ? 0 : -1;
    }
    int step = Math.min(length, next.remaining());
    next.get(target, offset, step);
    took(step);
    return step;
  }

  /** Fills a buffer. */
  void readFully(ByteBuf target) throws IOException {
    while (target.isWritable()) {
      ByteBuffer next = next();
      if (next == null) {
        throw new EOFException(
            "the body ends %d bytes too early".formatted(target.writableBytes()));
      }
      int step = Math.min(target.writableBytes(), next.remaining());
      target.writeBytes(next.slice(next.position(), step));
      next.position(next.position() + step);
      took(step);
    }
  }

  private void took(int bytes) {
    taken += bytes;
    if (taken > most) {
      throw new HttpException.RuntimeException(
          HttpStatus.PAYLOAD_TOO_LARGE_413,
          "the body has more than %d bytes, which is what is allowed".formatted(most));
    }
  }

  /** What has come and is not taken; null at the end. */
  private @Nullable ByteBuffer next() throws IOException {
    while (!over && (chunk == null || !chunk.hasRemaining())) {
      boolean last = chunk != null && chunk.isLast();
      release();
      if (last) {
        over = true;
        return null;
      }
      chunk = source.read();
      if (chunk == null) {
        await();
      } else if (Content.Chunk.isFailure(chunk)) {
        Throwable failure = chunk.getFailure();
        over = true;
        chunk = null;
        throw new IOException("the body cannot be read: " + failure.getMessage(), failure);
      }
    }
    return over || chunk == null ? null : chunk.getByteBuffer();
  }

  private void await() throws IOException {
    try (Blocker.Runnable blocker = Blocker.runnable()) {
      source.demand(blocker);
      blocker.block();
    }
  }

  private void release() {
    if (chunk != null) {
      chunk.release();
      chunk = null;
    }
  }

  @Override
  public void close() {
    release();
    over = true;
  }
}
