package dev.guildhall.benchmarks;

import dev.guildhall.router.dispatch.Batch;
import dev.guildhall.router.dispatch.DispatchPlan;
import dev.guildhall.router.dispatch.RowGather;
import dev.guildhall.router.gate.Routing;
import dev.guildhall.rpc.Buffers;
import io.netty.buffer.ByteBuf;
import java.util.concurrent.TimeUnit;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;
import org.openjdk.jmh.annotations.Warmup;

/** Routes to batches, and the batches' rows gathered into pooled buffers: 64 experts, k = 2. */
@State(Scope.Thread)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.MICROSECONDS)
@Fork(1)
@Warmup(iterations = 3, time = 1)
@Measurement(iterations = 5, time = 1)
public class DispatchBenchmark {
  private static final int ROW_BYTES = 1024 * Float.BYTES;

  @Param({"1", "256", "4096"})
  private int tokens;

  private Routing routing = RandomRequest.of(1, 1, 1, false).route();
  private DispatchPlan plan = RandomRequest.plan(routing);
  private ByteBuf hiddenStates = Buffers.allocate(0);

  @Setup
  public void setUp() {
    routing = RandomRequest.of(tokens, 64, 2, false).route();
    plan = RandomRequest.plan(routing);
    hiddenStates = Buffers.allocate(tokens * ROW_BYTES);
    hiddenStates.setZero(0, tokens * ROW_BYTES);
  }

  @TearDown
  public void tearDown() {
    hiddenStates.release();
  }

  @Benchmark
  public DispatchPlan plan() {
    return RandomRequest.plan(routing);
  }

  @Benchmark
  public int gather() {
    for (Batch batch : plan.batches()) {
      ByteBuf rows = Buffers.allocate(batch.rows() * ROW_BYTES);
      RowGather.gather(
          plan, batch, Buffers.segment(hiddenStates), ROW_BYTES, Buffers.segment(rows));
      rows.release();
    }
    return plan.rows();
  }
}
