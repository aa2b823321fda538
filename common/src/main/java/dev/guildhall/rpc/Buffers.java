package dev.guildhall.rpc;

import io.netty.buffer.ByteBuf;
import java.lang.foreign.MemorySegment;

/** Pooled direct buffers for tensors, seen as memory segments. */
public final class Buffers {
  private static final int FIRST_BYTES = 4 << 10;

  private Buffers() {}

  /**
   * A pooled direct buffer of exactly {@code bytes} bytes, uninitialised, its writer index at the
   * end. The caller owns the one reference.
   */
  public static ByteBuf allocate(int bytes) {
    return LendingAllocator.INSTANCE.directBuffer(bytes, bytes).writerIndex(bytes);
  }

  /** An empty pooled direct buffer that grows up to {@code most} bytes. The caller owns it. */
  public static ByteBuf allocateGrowing(int most) {
    return LendingAllocator.INSTANCE.directBuffer(Math.min(most, FIRST_BYTES), most);
  }

  /** The readable bytes of a direct buffer; valid as long as a reference to the buffer is held. */
  public static MemorySegment segment(ByteBuf buffer) {
    return MemorySegment.ofBuffer(buffer.nioBuffer());
  }
}
