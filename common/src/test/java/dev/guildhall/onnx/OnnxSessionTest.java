package dev.guildhall.onnx;

import static dev.guildhall.onnx.ExpertReference.floats;
import static dev.guildhall.onnx.ExpertReference.get;
import static dev.guildhall.onnx.ExpertReference.tensor;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.guildhall.error.ErrorCode;
import dev.guildhall.error.GuildhallException;
import dev.guildhall.repository.Activation;
import dev.guildhall.repository.ExpertWeights;
import dev.guildhall.repository.Linear;
import dev.guildhall.repository.Precision;
import dev.guildhall.repository.ProjectionWeights;
import dev.guildhall.safetensors.StoredTensor;
import dev.guildhall.tensor.DType;
import dev.guildhall.tensor.Floats;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.SplittableRandom;
import java.util.concurrent.Callable;
import java.util.concurrent.Executors;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

class OnnxSessionTest {
  private final Arena arena = Arena.ofShared();

  @AfterEach
  void free() {
    arena.close();
  }

  @ParameterizedTest
  @CsvSource({
    "RELU,true,1",
    "RELU,false,300",
    "GELU,true,300",
    "GELU,false,1",
    "GELU_TANH,true,17",
    "GELU_TANH,false,2",
    "SILU,true,64",
    "SILU,false,33",
  })
  void computesTheMlp(Activation activation, boolean bias, int rows) {
    ExpertWeights.Mlp mlp = ExpertReference.mlp(arena, 48, 96, activation, bias, 11);
    MemorySegment in = floats(arena, rows * 48L, 2, new SplittableRandom(rows));
    MemorySegment out = arena.allocate(in.byteSize(), 4);
    try (OnnxSession session =
        OnnxSession.open(OnnxGraph.expert(mlp, Precision.FP32), Device.CPU)) {
      assertEquals(48, session.inputWidth());
      assertEquals(48, session.outputWidth(0));
      session.run(in, rows, out);
    }
    assertClose(ExpertReference.compute(mlp, in, rows), out);
  }

  @ParameterizedTest
  @EnumSource(Activation.class)
  void givesARowTheSameBitsWhateverLiesBesideIt(Activation activation) {
    int rows = 301;
    ExpertWeights.Mlp mlp = ExpertReference.mlp(arena, 64, 200, activation, true, 5);
    MemorySegment in = floats(arena, rows * 64L, 2, new SplittableRandom(3));
    MemorySegment whole = arena.allocate(in.byteSize(), 4);
    MemorySegment pieces = arena.allocate(in.byteSize(), 4);
    SplittableRandom random = new SplittableRandom(activation.name().hashCode());
    try (OnnxSession session =
        OnnxSession.open(OnnxGraph.expert(mlp, Precision.FP32), Device.CPU)) {
      session.run(in, rows, whole);
      for (int row = 0; row < rows; ) {
        int count = Math.min(rows - row, random.nextInt(1, 40));
        long offset = row * 64L * Float.BYTES;
        session.run(in.asSlice(offset), count, pieces.asSlice(offset));
        row += count;
      }
    }
    assertEquals(-1, whole.mismatch(pieces));
  }

  @Test
  void givesLogitsAndCoefficientTheSameBitsWhateverLiesBesideThem() {
    int rows = 130;
    MemorySegment in = floats(arena, rows * 64L, 2, new SplittableRandom(3));
    MemorySegment logits = arena.allocate(rows * 8L * 4L, 4);
    MemorySegment coefficient = arena.allocate(rows * 2L * 4L, 4);
    MemorySegment oneLogits = arena.allocate(8 * 4L, 4);
    MemorySegment oneCoefficient = arena.allocate(2 * 4L, 4);
    try (OnnxSession session =
        OnnxSession.open(OnnxGraph.projection(projection(64, 8)), Device.CPU)) {
      session.run(in, rows, logits, coefficient);
      for (int row = 0; row < rows; row++) {
        session.run(in.asSlice(row * 64L * 4), 1, oneLogits, oneCoefficient);
        assertEquals(-1, oneLogits.mismatch(logits.asSlice(row * 32L, 32)), "row " + row);
        assertEquals(-1, oneCoefficient.mismatch(coefficient.asSlice(row * 8L, 8)), "row " + row);
      }
    }
  }

  @Test
  void computesTheProjection() {
    int rows = 7;
    ProjectionWeights weights = projection(24, 5);
    MemorySegment in = floats(arena, rows * 24L, 2, new SplittableRandom(8));
    MemorySegment logits = arena.allocate(rows * 5L * 4L, 4);
    MemorySegment logitsAlone = arena.allocate(rows * 5L * 4L, 4);
    MemorySegment coefficient = arena.allocate(rows * 2L * 4L, 4);
    try (OnnxSession session = OnnxSession.open(OnnxGraph.projection(weights), Device.CPU)) {
      assertEquals(2, session.outputCount());
      assertEquals(5, session.outputWidth(0));
      assertEquals(2, session.outputWidth(1));
      session.run(in, rows, logits, coefficient);
      session.run(in, rows, logitsAlone);
    }
    double[] x = new double[rows * 24];
    for (int i = 0; i < x.length; i++) {
      x[i] = get(in, i);
    }
    assertClose(ExpertReference.linear(x, rows, weights.gate()), logits);
    assertEquals(-1, logits.mismatch(logitsAlone));
    assertClose(ExpertReference.linear(x, rows, weights.mix().orElseThrow()), coefficient);
  }

  @Test
  void hasOneOutputWithoutAResidualExpert() {
    ProjectionWeights plain = new ProjectionWeights(projection(24, 5).gate(), Optional.empty());
    try (OnnxSession session = OnnxSession.open(OnnxGraph.projection(plain), Device.CPU)) {
      assertEquals(1, session.outputCount());
    }
  }

  @Test
  void readsMisalignedAndHeapWeights() {
    ExpertWeights.Mlp mlp = ExpertReference.mlp(arena, 16, 32, Activation.RELU, true, 2);
    MemorySegment fc1 = mlp.fc1().weight().data();
    MemorySegment askew = arena.allocate(fc1.byteSize() + 1, 64).asSlice(1);
    askew.copyFrom(fc1);
    MemorySegment heap =
        MemorySegment.ofArray(new float[32 * 16]).copyFrom(mlp.fc2().weight().data());
    ExpertWeights moved =
        new ExpertWeights.Mlp(
            new Linear(tensor(askew, 32, 16), mlp.fc1().bias()),
            Activation.RELU,
            new Linear(tensor(heap, 16, 32), mlp.fc2().bias()));
    MemorySegment in = floats(arena, 3 * 16, 2, new SplittableRandom(3));
    MemorySegment out = arena.allocate(in.byteSize(), 4);
    try (OnnxSession session =
        OnnxSession.open(OnnxGraph.expert(moved, Precision.FP32), Device.CPU)) {
      session.run(in, 3, out);
    }
    assertClose(ExpertReference.compute(mlp, in, 3), out);
  }

  @Test
  void doesNothingForNoRows() {
    try (OnnxSession session = small()) {
      session.run(MemorySegment.NULL, 0, MemorySegment.NULL);
    }
  }

  @Test
  void refusesMemoryThatDoesNotFit() {
    MemorySegment fits = arena.allocate(4 * 8 * 4, 4);
    MemorySegment freed;
    try (Arena gone = Arena.ofShared()) {
      freed = gone.allocate(fits.byteSize(), 4);
    }
    List<MemorySegment> wrong =
        List.of(
            fits.asSlice(4),
            arena.allocate(fits.byteSize() + 1, 4).asSlice(1),
            MemorySegment.ofArray(new float[4 * 8]),
            freed);
    try (OnnxSession session = small()) {
      for (MemorySegment memory : wrong) {
        assertInvalid(() -> session.run(memory, 4, fits));
        assertInvalid(() -> session.run(fits, 4, memory));
      }
      assertInvalid(() -> session.run(fits, -1, fits));
      assertInvalid(() -> session.run(fits, 4, fits, fits));
    }
  }

  @Test
  void refusesToRunOnceClosed() {
    MemorySegment memory = arena.allocate(8 * 4, 4);
    OnnxSession session = small();
    session.close();
    session.close();
    var e = assertThrows(GuildhallException.class, () -> session.run(memory, 1, memory.asSlice(0)));
    assertEquals(ErrorCode.UNAVAILABLE, e.code());
  }

  @Test
  @SuppressWarnings("restricted") // Memory that is measured, not touched.
  void refusesTensorsOfTwoGibibytesAndWithoutElements() {
    StoredTensor tooLarge = tensor(MemorySegment.ofAddress(64).reinterpret(1L << 31), 1 << 20, 512);
    var large =
        assertThrows(GuildhallException.class, () -> new WeightTensor("fc1.weight", tooLarge));
    assertTrue(large.toString().contains("fc1.weight [1048576, 512]"), large.getMessage());
    assertTrue(large.toString().contains("2 GiB"), large.getMessage());
    assertInvalid(() -> new WeightTensor("w", tensor(arena.allocate(0, 4), 0, 4)));
  }

  @ParameterizedTest
  @CsvSource({"SILU,", "GELU,", "GELU_TANH,", "SILU,0.3"})
  void computesTheGatedMlp(Activation activation, @Nullable Double swigluLimit) {
    ExpertWeights gated =
        ExpertReference.gatedMlp(arena, 48, 96, activation, Optional.ofNullable(swigluLimit), 12);
    assertClose(ExpertReference.compute(gated, input(48, 9), 9), run(gated, Precision.FP32, 9));
  }

  /** Stored values are widened exactly: the results are those of the widened weights. */
  @ParameterizedTest
  @EnumSource(names = {"FP16", "BF16"})
  void widensWeightsOf16Bits(DType dtype) {
    ExpertWeights.Mlp mlp = ExpertReference.mlp(arena, 48, 96, Activation.RELU, true, 13);
    Linear narrow1 = narrow(dtype, mlp.fc1());
    Linear narrow2 = narrow(dtype, mlp.fc2());
    MemorySegment actual =
        run(new ExpertWeights.Mlp(narrow1, Activation.RELU, narrow2), Precision.FP32, 5);
    ExpertWeights widened = new ExpertWeights.Mlp(widen(narrow1), Activation.RELU, widen(narrow2));
    assertEquals(-1, run(widened, Precision.FP32, 5).mismatch(actual));
  }

  @ParameterizedTest
  @CsvSource({"INT8,48,0.02", "INT4,48,0.15", "INT8,40,0.02", "INT4,40,0.15"})
  void quantisesWeights(Precision precision, int hidden, double allowed) {
    ExpertWeights gated =
        ExpertReference.gatedMlp(arena, hidden, 96, Activation.SILU, Optional.empty(), 14);
    for (int rows : new int[] {1, 2, 33}) {
      MemorySegment exact = run(gated, Precision.FP32, rows);
      MemorySegment quantised = run(gated, precision, rows);
      double square = 0;
      double difference = 0;
      for (long i = 0; i < (long) rows * hidden; i++) {
        square += get(exact, i) * (double) get(exact, i);
        difference += Math.pow(get(exact, i) - (double) get(quantised, i), 2);
      }
      double error = Math.sqrt(difference / square);
      assertTrue(error > 0 && error < allowed, rows + " rows: " + error);
    }
  }

  private MemorySegment input(int hidden, int rows) {
    return floats(arena, (long) rows * hidden, 2, new SplittableRandom(rows));
  }

  private MemorySegment run(ExpertWeights expert, Precision precision, int rows) {
    MemorySegment in = input(expert.hiddenSize(), rows);
    MemorySegment out = arena.allocate(in.byteSize(), 4);
    try (OnnxSession session = OnnxSession.open(OnnxGraph.expert(expert, precision), Device.CPU)) {
      session.run(in, rows, out);
    }
    return out;
  }

  private Linear narrow(DType dtype, Linear map) {
    return new Linear(narrow(dtype, map.weight()), map.bias().map(bias -> narrow(dtype, bias)));
  }

  private StoredTensor narrow(DType dtype, StoredTensor fp32) {
    MemorySegment narrow = arena.allocate(fp32.data().byteSize() / 2, 64);
    Floats.fromFp32(dtype, fp32.data(), narrow, fp32.elements());
    return new StoredTensor(dtype, fp32.shape(), narrow);
  }

  private Linear widen(Linear map) {
    return new Linear(widen(map.weight()), map.bias().map(this::widen));
  }

  private StoredTensor widen(StoredTensor narrow) {
    MemorySegment wide = arena.allocate(narrow.data().byteSize() * 2, 64);
    Floats.toFp32(narrow.dtype(), narrow.data(), wide, narrow.elements());
    return new StoredTensor(DType.FP32, narrow.shape(), wide);
  }

  @Test
  void runsOnManyThreadsAtOnce() throws Exception {
    int rows = 40;
    ExpertWeights.Mlp mlp = ExpertReference.mlp(arena, 32, 64, Activation.GELU, true, 9);
    MemorySegment in = floats(arena, rows * 32L, 2, new SplittableRandom(4));
    MemorySegment expected = arena.allocate(in.byteSize(), 4);
    try (OnnxSession session = OnnxSession.open(OnnxGraph.expert(mlp, Precision.FP32), Device.CPU);
        var threads = Executors.newFixedThreadPool(4)) {
      session.run(in, rows, expected);
      List<Callable<Long>> runs = new ArrayList<>();
      for (int thread = 0; thread < 4; thread++) {
        runs.add(() -> {
          MemorySegment out = arena.allocate(in.byteSize(), 4);
          for (int i = 0; i < 200; i++) {
            session.run(in, rows, out.fill((byte) 0));
            if (expected.mismatch(out) != -1) {
              return (long) i;
            }
          }
          return -1L;
        });
      }
      for (var run : threads.invokeAll(runs)) {
        assertEquals(-1, run.get());
      }
    }
  }

  @Test
  void saysWhatCudaTakesWhereThereIsNone() {
    OnnxGraph graph =
        OnnxGraph.expert(
            ExpertReference.mlp(arena, 8, 8, Activation.RELU, false, 1), Precision.FP32);
    var e =
        assertThrows(
            GuildhallException.class, () -> OnnxSession.open(graph, new Device.Cuda(9999)));
    assertEquals(ErrorCode.UNAVAILABLE, e.code());
    assertTrue(e.toString().contains("cuda:9999"), e.getMessage());
    assertTrue(e.toString().contains("profile 'cuda'"), e.getMessage());
  }

  private OnnxSession small() {
    return OnnxSession.open(
        OnnxGraph.expert(
            ExpertReference.mlp(arena, 8, 8, Activation.RELU, false, 1), Precision.FP32),
        Device.CPU);
  }

  private ProjectionWeights projection(int hidden, int experts) {
    SplittableRandom random = new SplittableRandom(21);
    return new ProjectionWeights(
        ExpertReference.linear(arena, experts, hidden, false, random),
        Optional.of(ExpertReference.linear(arena, 2, hidden, true, random)));
  }

  private static void assertClose(double[] expected, MemorySegment actual) {
    for (int i = 0; i < expected.length; i++) {
      assertEquals(expected[i], get(actual, i), 1e-5, "element " + i);
    }
  }

  private static void assertInvalid(Runnable action) {
    var e = assertThrows(GuildhallException.class, action::run);
    assertEquals(ErrorCode.INVALID_ARGUMENT, e.code(), e.getMessage());
  }
}
