package dev.guildhall.router.api.http;

import static dev.guildhall.error.GuildhallException.invalidArgument;

import dev.guildhall.error.ErrorCode;
import dev.guildhall.error.GuildhallException;
import io.netty.buffer.ByteBuf;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.eclipse.jetty.http.HttpException;
import org.eclipse.jetty.http.HttpStatus;
import org.eclipse.jetty.io.Content;
import org.eclipse.jetty.util.thread.Invocable;
import org.jspecify.annotations.Nullable;

/**
 * A request's body, read as it comes, up to a size and within a time. Blocks; used by one thread.
 * What is wrong with it is told as any other fault of a request, not as an {@code IOException}.
 *
 * @apiNote whoever reads it closes it, also if it fails
 */
final class RequestBody extends InputStream {
  private final Content.Source source;
  private final long most;
  private final Duration time;
  private final long deadline;
  private Content.@Nullable Chunk chunk;
  private long taken;
  private boolean over;

  /**
   * @param most bytes, unpacked
   * @param time from now on, in which all of it must come
   */
  RequestBody(Content.Source source, long most, Duration time) {
    this.source = source;
    this.most = most;
    this.time = time;
    this.deadline = System.nanoTime() + time.toNanos();
  }

  /** Bytes that may still come. */
  long room() {
    return most - taken;
  }

  @Override
  public int read() {
    byte[] one = new byte[1];
    return read(one, 0, 1) < 0 ? -1 : one[0] & 0xff;
  }

  @Override
  public int read(byte[] target, int offset, int length) {
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
  void readFully(ByteBuf target) {
    while (target.isWritable()) {
      ByteBuffer next = next();
      if (next == null) {
        throw invalidArgument("the body ends %d bytes too early".formatted(target.writableBytes()));
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
  private @Nullable ByteBuffer next() {
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
        throw new GuildhallException(
            ErrorCode.INVALID_ARGUMENT,
            "the body cannot be read: " + failure.getMessage(),
            failure);
      }
    }
    return over || chunk == null ? null : chunk.getByteBuffer();
  }

  private void await() {
    CountDownLatch come = new CountDownLatch(1);
    source.demand(Invocable.from(Invocable.InvocationType.NON_BLOCKING, come::countDown));
    boolean inTime;
    try {
      inTime = come.await(deadline - System.nanoTime(), TimeUnit.NANOSECONDS);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      inTime = false;
    }
    if (!inTime) {
      String late = "the body did not come within %d ms".formatted(time.toMillis());
      // Ends the demand: an answer must not overtake it.
      source.fail(new TimeoutException(late));
      throw new HttpException.RuntimeException(HttpStatus.REQUEST_TIMEOUT_408, late);
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
