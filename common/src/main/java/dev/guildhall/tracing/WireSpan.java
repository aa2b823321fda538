package dev.guildhall.tracing;

import io.opentelemetry.api.trace.SpanContext;
import io.opentelemetry.api.trace.TraceFlags;
import io.opentelemetry.api.trace.TraceState;
import java.util.Arrays;
import java.util.HexFormat;

/** A span's name between processes: the bytes of W3C's traceparent without its version. */
final class WireSpan {
  private static final int TRACE_ID_BYTES = 16;
  private static final int SPAN_ID_BYTES = 8;
  private static final int BYTES = TRACE_ID_BYTES + SPAN_ID_BYTES + 1;

  private WireSpan() {}

  static byte[] write(SpanContext span) {
    byte[] bytes = Arrays.copyOf(span.getTraceIdBytes(), BYTES);
    System.arraycopy(span.getSpanIdBytes(), 0, bytes, TRACE_ID_BYTES, SPAN_ID_BYTES);
    bytes[BYTES - 1] = span.getTraceFlags().asByte();
    return bytes;
  }

  /** Not valid if the bytes are not: whose they are is not worth a batch. */
  static SpanContext read(byte[] bytes) {
    if (bytes.length != BYTES) {
      return SpanContext.getInvalid();
    }
    HexFormat hex = HexFormat.of();
    return SpanContext.createFromRemoteParent(
        hex.formatHex(bytes, 0, TRACE_ID_BYTES),
        hex.formatHex(bytes, TRACE_ID_BYTES, BYTES - 1),
        TraceFlags.fromByte(bytes[BYTES - 1]),
        TraceState.getDefault());
  }
}
