package dev.guildhall.benchmarks;

import dev.guildhall.router.combine.Combine;
import dev.guildhall.router.dispatch.DispatchPlan;
import dev.guildhall.router.gate.Routing;
import dev.guildhall.rpc.Buffers;
import io.netty.buffer.ByteBuf;
import java.lang.foreign.MemorySegment;
import java.util.List;
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

/** Rows to output: 64 experts, H = 1024. */
@State(Scope.Thread)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.MICROSECONDS)
@Fork(1)
@Warmup(iterations = 3, time = 1)
@Measurement(iterations = 5, time = 1)
public class CombineBenchmark {
  private static final int HIDDEN = 1024;

  @Param({"1", "256", "4096"})
  private int tokens;

  @Param({"1", "2", "4"})
  private int k;

  private Routing routing = RandomRequest.of(1, 1, 1, false).route();
  private DispatchPlan plan = RandomRequest.plan(routing);
  private List<ByteBuf> blocks = List.of();
  private ByteBuf output = Buffers.allocate(0);

  @Setup
  public void setUp() {
    routing = RandomRequest.of(tokens, 64, k, false).route();
    plan = RandomRequest.plan(routing);
    blocks = plan.batches().stream().map(batch -> zeros(batch.rows())).toList();
    output = zeros(tokens);
  }

  private static ByteBuf zeros(int rows) {
    int bytes = rows * HIDDEN * Float.BYTES;
    ByteBuf buffer = Buffers.allocate(bytes);
    buffer.setZero(0, bytes);
    return buffer;
  }

  @TearDown
  public void tearDown() {
    blocks.forEach(ByteBuf::release);
    output.release();
  }

  @Benchmark
  public ByteBuf sum() {
    MemorySegment[] segments = blocks.stream().map(Buffers::segment).toArray(MemorySegment[]::new);
    Combine.of(plan, routing.weight(), HIDDEN).sum(segments, Buffers.segment(output));
    return output;
  }
}
