package dev.guildhall.benchmarks;

import dev.guildhall.router.gate.Routing;
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
import org.openjdk.jmh.annotations.Warmup;

/** Logits to routes, without the logits' matrix product. */
@State(Scope.Thread)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.MICROSECONDS)
@Fork(1)
@Warmup(iterations = 3, time = 1)
@Measurement(iterations = 5, time = 1)
public class GateBenchmark {
  @Param({"1", "256", "4096"})
  private int tokens;

  @Param({"1", "2", "4"})
  private int k;

  /** Of the second expert: a Gumbel draw for each logit. */
  @Param({"false", "true"})
  private boolean sampling;

  private RandomRequest request = RandomRequest.of(1, 1, 1, false);

  @Setup
  public void setUp() {
    request = RandomRequest.of(tokens, 64, k, sampling);
  }

  @Benchmark
  public Routing route() {
    return request.route();
  }
}
