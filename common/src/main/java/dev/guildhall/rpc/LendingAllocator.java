package dev.guildhall.rpc;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.ByteBufAllocator;
import io.netty.buffer.ByteBufUtil;
import io.netty.buffer.PooledByteBufAllocator;
import io.netty.buffer.Unpooled;
import io.netty.buffer.UnpooledDirectByteBuf;
import org.jspecify.annotations.Nullable;

/**
 * The pool of a process's direct buffers, which can lend a payload to gRPC's framer instead of
 * giving it an empty buffer to copy into.
 *
 * <p>gRPC's framer takes messages as an {@code OutputStream} of arrays and asks its channel's
 * allocator for buffers to put them in. While a {@link TensorOutput} is being framed on a thread,
 * the first buffer that is asked for there is exactly as large as the message's prefix; the next
 * one is the payload itself, which takes "writes" of its own content without looking at them.
 * Everything else, on whatever thread, is an ordinary pooled buffer, and so is everything if gRPC
 * should come to ask in another way.
 */
final class LendingAllocator extends PooledByteBufAllocator {
  /** Chunks of 16 MiB, so that a large request's tensors still come from the pool. */
  private static final int MAX_ORDER = 11;

  /** A flag and the message's length, which gRPC writes before every message. */
  private static final int GRPC_PREFIX_BYTES = 5;

  static final LendingAllocator INSTANCE = new LendingAllocator();

  private static final ThreadLocal<Loan> LOAN = new ThreadLocal<>();

  private LendingAllocator() {
    super(
        true,
        0,
        Math.max(2, Runtime.getRuntime().availableProcessors()),
        defaultPageSize(),
        MAX_ORDER,
        defaultSmallCacheSize(),
        defaultNormalCacheSize(),
        defaultUseCacheForAllThreads());
  }

  /** One message's claim on the next two buffers that its thread asks for. */
  static final class Loan {
    private final byte[] prefix;
    private final ByteBuf payload;
    private @Nullable ByteBuf prefixBuffer;
    private boolean payloadDue;

    private Loan(byte[] prefix, ByteBuf payload) {
      this.prefix = prefix;
      this.payload = payload;
    }

    /**
     * Lends the payload as the next buffer, if the one before holds just gRPC's five bytes and the
     * prefix. It does not when gRPC compresses, say.
     */
    boolean lendPayload() {
      payloadDue =
          prefixBuffer != null
              && !prefixBuffer.isWritable()
              && prefixBuffer.getByte(0) == 0
              && ByteBufUtil.equals(
                  prefixBuffer,
                  GRPC_PREFIX_BYTES,
                  Unpooled.wrappedBuffer(prefix),
                  0,
                  prefix.length);
      return payloadDue;
    }
  }

  /**
   * Claims the next buffers on this thread, until {@link #end}.
   *
   * @param prefix what the message writes before its payload
   * @param payload lent with a reference of its own
   */
  static Loan begin(byte[] prefix, ByteBuf payload) {
    Loan loan = new Loan(prefix, payload);
    LOAN.set(loan);
    return loan;
  }

  static void end() {
    LOAN.remove();
  }

  @Override
  public ByteBuf buffer(int initialCapacity, int maxCapacity) {
    Loan loan = LOAN.get();
    if (loan == null) {
      return super.buffer(initialCapacity, maxCapacity);
    }
    if (loan.prefixBuffer == null) {
      int bytes = GRPC_PREFIX_BYTES + loan.prefix.length;
      ByteBuf prefixBuffer = super.buffer(bytes, bytes);
      loan.prefixBuffer = prefixBuffer;
      return prefixBuffer;
    }
    if (!loan.payloadDue) {
      return super.buffer(initialCapacity, maxCapacity);
    }
    LOAN.remove();
    return new LentPayload(this, loan.payload.retainedSlice());
  }

  /** A payload that looks empty, and full again when its own content has been "written" to it. */
  private static final class LentPayload extends UnpooledDirectByteBuf {
    private final ByteBuf payload;

    /** Takes over one reference to the payload. */
    LentPayload(ByteBufAllocator allocator, ByteBuf payload) {
      super(allocator, payload.nioBuffer(), payload.readableBytes());
      this.payload = payload;
      writerIndex(0);
    }

    @Override
    public ByteBuf writeBytes(byte[] source, int offset, int length) {
      return writerIndex(writerIndex() + length);
    }

    @Override
    protected void deallocate() {
      super.deallocate();
      payload.release();
    }
  }
}
