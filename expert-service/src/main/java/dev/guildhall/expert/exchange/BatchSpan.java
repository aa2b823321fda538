package dev.guildhall.expert.exchange;

import dev.guildhall.expert.batching.RowBatch;
import dev.guildhall.proto.ExchangeRequest;
import dev.guildhall.rpc.TensorMethods;
import dev.guildhall.tracing.TraceContext;
import dev.guildhall.tracing.TraceSpan;
import dev.guildhall.tracing.Tracing;
import java.util.concurrent.TimeUnit;

/**
 * The spans of one batch, where its router asks for them: the batch, in it {@code queue} and {@code
 * compute}.
 */
record BatchSpan(TraceSpan span, long arrivedNanos) {
  private static final BatchSpan NONE = new BatchSpan(TraceSpan.NONE, 0);

  static BatchSpan begin(Tracing tracing, ExchangeRequest batch) {
    if (batch.getTraceparent().isEmpty()) {
      return NONE;
    }
    TraceSpan span =
        tracing.remote("batch", new TraceContext(batch.getTraceparent(), batch.getTracestate()));
    if (!span.isRecording()) {
      return NONE;
    }
    span.grpc(TensorMethods.EXCHANGE_NAME)
        .tag("guildhall.layer", batch.getLayer())
        .tag("guildhall.experts", batch.getExpertsList().toString())
        .tag(
            "guildhall.rows",
            batch.getRowCountsList().stream().mapToLong(Integer::longValue).sum());
    return new BatchSpan(span, System.nanoTime());
  }

  /** Its rows are computed. */
  void computed(RowBatch batch) {
    if (!span.isRecording()) {
      return;
    }
    span.childFrom("queue", arrivedNanos).endAt(Math.max(arrivedNanos, batch.begunNanos()));
    // Rows of one expert may be done while those of another wait: what it worked may be less.
    span.childFrom("compute", batch.begunNanos())
        .tag("guildhall.work_us", TimeUnit.NANOSECONDS.toMicros(batch.workNanos()))
        .endAt(batch.workedNanos());
  }

  void end() {
    span.end();
  }

  void fail(Throwable failure) {
    span.fail(failure);
  }
}
