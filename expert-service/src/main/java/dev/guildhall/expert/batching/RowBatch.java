package dev.guildhall.expert.batching;

import dev.guildhall.error.ErrorCode;
import dev.guildhall.error.GuildhallException;
import java.lang.foreign.MemorySegment;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Rows for some experts of one replica, the rows of an expert side by side: {@code in} and {@code
 * out} are [rows, H] fp32, in the order of the segments.
 *
 * <p>The memory is lent from {@link ComputePool#submit} to the call of the completion. A batch is
 * submitted once. Any thread may cancel it at any time; workers do the rest.
 */
public final class RowBatch {
  /** Deadline of a batch that may take forever. */
  public static final long NO_DEADLINE = Long.MAX_VALUE;

  /** Of one element: its place in the rows and in their results. */
  static final int BYTES_BOTH_WAYS = 2 * Float.BYTES;

  private static final Logger log = LoggerFactory.getLogger(RowBatch.class);

  /**
   * Rows of one expert.
   *
   * @param rows 1 or more
   */
  public record Segment(ExpertQueue expert, int rows) {
    public Segment {
      if (rows < 1) {
        throw GuildhallException.invalidArgument(
            "%d rows for expert %s; a segment has 1 or more".formatted(rows, expert.key()));
      }
    }
  }

  private final List<Segment> segments;
  private final MemorySegment in;
  private final MemorySegment out;
  private final long deadlineNanos;
  private final BatchCompletion completion;
  private final int rows;
  private final AtomicInteger rowsLeft;
  private final AtomicReference<@Nullable GuildhallException> failure = new AtomicReference<>();

  private final AtomicLong workNanos = new AtomicLong();

  // Written with the pool's lock held, before workers see the batch.
  private boolean submitted;
  private long submittedNanos;

  // Written by the worker that takes the first rows, with the pool's lock held.
  private boolean begun;
  private long begunNanos;

  private volatile long workedNanos;

  /**
   * Describes a batch.
   *
   * @param in native, 4-byte aligned, as large as the segments' rows take, open to all threads
   * @param out likewise, and apart from {@code in}
   * @param deadlineNanos on the pool's clock; rows are not computed from then on
   * @throws GuildhallException INVALID_ARGUMENT if the segments' experts differ in width or the
   *     memory has another size
   */
  public RowBatch(
      List<Segment> segments,
      MemorySegment in,
      MemorySegment out,
      long deadlineNanos,
      BatchCompletion completion) {
    this.segments = List.copyOf(segments);
    this.in = in;
    this.out = out;
    this.deadlineNanos = deadlineNanos;
    this.completion = completion;
    this.rows = checkedRows(this.segments, in, out);
    this.rowsLeft = new AtomicInteger(rows);
  }

  private static int checkedRows(List<Segment> segments, MemorySegment in, MemorySegment out) {
    long rows = 0;
    long bytes = 0;
    int width = segments.isEmpty() ? 0 : segments.getFirst().expert().hiddenSize();
    for (Segment segment : segments) {
      if (segment.expert().hiddenSize() != width) {
        throw GuildhallException.invalidArgument(
            "experts %s and %s have %d and %d columns; a batch has one width"
                .formatted(
                    segments.getFirst().expert().key(),
                    segment.expert().key(),
                    width,
                    segment.expert().hiddenSize()));
      }
      rows += segment.rows();
      bytes += segment.rows() * segment.expert().rowBytes();
    }
    checkMemory(in, bytes, "in");
    checkMemory(out, bytes, "out");
    return Math.toIntExact(rows);
  }

  private static void checkMemory(MemorySegment memory, long bytes, String name) {
    if (memory.byteSize() != bytes || !memory.isNative() || memory.address() % Float.BYTES != 0) {
      throw GuildhallException.invalidArgument(
          "batch's memory '%s' is %s; it must be native, 4-byte aligned, of %d bytes"
              .formatted(name, memory, bytes));
    }
  }

  /** Of all segments together. */
  public int rows() {
    return rows;
  }

  /**
   * Says that nobody wants the result. Rows not yet begun are not computed; the completion hears
   * CANCELLED when workers have come by all of them. Nothing happens if the batch has ended.
   */
  public void cancel() {
    fail(new GuildhallException(ErrorCode.CANCELLED, "the batch was cancelled"));
  }

  void markSubmitted(long nowNanos) {
    if (submitted) {
      throw new IllegalStateException("a batch is submitted once");
    }
    submitted = true;
    submittedNanos = nowNanos;
  }

  /**
   * How long it waited for others, once it is done: from being queued to its last rows, less what
   * its own rows took. A batch has rows for several experts, and the last of them may wait long
   * when the first did not. 0 if it was never queued.
   */
  public long queueNanos() {
    return submitted ? Math.max(0, workedNanos - submittedNanos - workNanos.get()) : 0;
  }

  /** What its own rows have taken so far, on all workers together. */
  public long workNanos() {
    return workNanos.get();
  }

  /** A worker takes some of its rows. */
  void taken(long nowNanos) {
    if (!begun) {
      begun = true;
      begunNanos = nowNanos;
    }
  }

  /** When its first rows were taken, once it has succeeded; on the pool's clock. */
  public long begunNanos() {
    return begunNanos;
  }

  /** When its last rows were done, once it has succeeded; on the pool's clock. */
  public long workedNanos() {
    return workedNanos;
  }

  /**
   * A worker has computed some of its rows.
   *
   * @param nanos the rows' share of the time that it took
   */
  void worked(long nanos, long nowNanos) {
    workNanos.addAndGet(nanos);
    workedNanos = nowNanos;
  }

  /** What it occupies until it is done: the rows and the room for their results. */
  long bytes() {
    return in.byteSize() + out.byteSize();
  }

  List<Segment> segments() {
    return segments;
  }

  MemorySegment in() {
    return in;
  }

  MemorySegment out() {
    return out;
  }

  /** Whether its rows are still worth computing; a batch past its deadline fails here. */
  boolean isWanted(long nowNanos) {
    if (failure.get() != null) {
      return false;
    }
    long left = nanosLeft(nowNanos);
    if (left > 0) {
      return true;
    }
    fail(
        new GuildhallException(
            ErrorCode.DEADLINE_EXCEEDED,
            "the batch's deadline passed %d us before an expert was free".formatted(-left / 1000)));
    return false;
  }

  /** Until the deadline; 0 or less if it has passed. */
  long nanosLeft(long nowNanos) {
    // By difference, since the clock may wrap.
    return deadlineNanos == NO_DEADLINE ? Long.MAX_VALUE : deadlineNanos - nowNanos;
  }

  /** The first failure is the one that the completion hears. */
  void fail(GuildhallException e) {
    failure.compareAndSet(null, e);
  }

  /** Accounts for rows that are computed or given up; the last ones end the batch. */
  void finish(int count) {
    if (rowsLeft.addAndGet(-count) == 0) {
      complete();
    }
  }

  void complete() {
    GuildhallException failed = failure.get();
    try {
      if (failed == null) {
        completion.succeeded();
      } else {
        completion.failed(failed);
      }
    } catch (Throwable e) {
      // An Error of one caller must not end the worker that serves all of them.
      log.error("completion of a batch failed", e);
    }
  }
}
