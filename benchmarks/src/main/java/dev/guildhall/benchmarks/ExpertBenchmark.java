package dev.guildhall.benchmarks;

import dev.guildhall.onnx.Device;
import dev.guildhall.onnx.OnnxGraph;
import dev.guildhall.onnx.OnnxSession;
import dev.guildhall.repository.Activation;
import dev.guildhall.repository.ExpertWeights;
import dev.guildhall.repository.Linear;
import dev.guildhall.repository.Precision;
import dev.guildhall.safetensors.StoredTensor;
import dev.guildhall.tensor.DType;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.SplittableRandom;
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

/** A gated expert in turn with others of its layer, so that no cache holds its weights. */
@State(Scope.Thread)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.MICROSECONDS)
@Fork(1)
@Warmup(iterations = 2, time = 1)
@Measurement(iterations = 5, time = 1)
public class ExpertBenchmark {
  private static final int EXPERTS = 16;

  @Param({"FP32", "INT8", "INT4"})
  private Precision precision = Precision.FP32;

  @Param({"1", "8", "64"})
  private int rows;

  @Param("1024")
  private int hidden;

  @Param("4096")
  private int ffn;

  private final Arena arena = Arena.ofConfined();
  private final List<OnnxSession> experts = new ArrayList<>();
  private MemorySegment in = MemorySegment.NULL;
  private MemorySegment out = MemorySegment.NULL;
  private int next;

  @Setup
  public void setUp() {
    SplittableRandom random = new SplittableRandom(1);
    for (int expert = 0; expert < EXPERTS; expert++) {
      ExpertWeights weights =
          new ExpertWeights.GatedMlp(
              map(random, ffn, hidden),
              map(random, ffn, hidden),
              Activation.SILU,
              Optional.empty(),
              map(random, hidden, ffn));
      experts.add(OnnxSession.open(OnnxGraph.expert(weights, precision), Device.CPU));
    }
    in = floats(random, (long) rows * hidden);
    out = arena.allocate(in.byteSize(), 64);
  }

  private Linear map(SplittableRandom random, long out, long in) {
    return new Linear(
        new StoredTensor(DType.FP32, List.of(out, in), floats(random, out * in)), Optional.empty());
  }

  private MemorySegment floats(SplittableRandom random, long count) {
    MemorySegment floats = arena.allocate(count * Float.BYTES, 64);
    for (long i = 0; i < count; i++) {
      floats.setAtIndex(ValueLayout.JAVA_FLOAT, i, (float) random.nextDouble(-0.05, 0.05));
    }
    return floats;
  }

  @Benchmark
  public MemorySegment compute() {
    experts.get(next++ % EXPERTS).run(in, rows, out);
    return out;
  }

  @TearDown
  public void tearDown() {
    experts.forEach(OnnxSession::close);
    arena.close();
  }
}
