package dev.guildhall.onnx;

import static dev.guildhall.onnx.MlpReference.floats;
import static dev.guildhall.onnx.MlpReference.get;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.guildhall.error.ErrorCode;
import dev.guildhall.error.GuildhallException;
import dev.guildhall.repository.Activation;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.SplittableRandom;
import java.util.concurrent.Callable;
import java.util.concurrent.Executors;
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
    MlpTensors mlp = MlpReference.random(arena, 48, 96, activation, bias, 11);
    MemorySegment in = floats(arena, rows * 48L, 2, new SplittableRandom(rows));
    MemorySegment out = arena.allocate(in.byteSize(), 4);
    try (OnnxSession session = OnnxSession.open(OnnxGraph.mlp(mlp), Device.CPU)) {
      assertEquals(48, session.inputWidth());
      assertEquals(48, session.outputWidth(0));
      session.run(in, rows, out);
    }
    assertClose(MlpReference.mlp(mlp, in, rows), out);
  }

  @ParameterizedTest
  @EnumSource(Activation.class)
  void givesARowTheSameBitsWhateverLiesBesideIt(Activation activation) {
    int rows = 301;
    MlpTensors mlp = MlpReference.random(arena, 64, 200, activation, true, 5);
    MemorySegment in = floats(arena, rows * 64L, 2, new SplittableRandom(3));
    MemorySegment whole = arena.allocate(in.byteSize(), 4);
    MemorySegment pieces = arena.allocate(in.byteSize(), 4);
    SplittableRandom random = new SplittableRandom(activation.name().hashCode());
    try (OnnxSession session = OnnxSession.open(OnnxGraph.mlp(mlp), Device.CPU)) {
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
    ProjectionTensors tensors = projection(24, 5);
    ProjectionTensors.Coefficient mix = tensors.coefficient().orElseThrow();
    MemorySegment in = floats(arena, rows * 24L, 2, new SplittableRandom(8));
    MemorySegment logits = arena.allocate(rows * 5L * 4L, 4);
    MemorySegment logitsAlone = arena.allocate(rows * 5L * 4L, 4);
    MemorySegment coefficient = arena.allocate(rows * 2L * 4L, 4);
    try (OnnxSession session = OnnxSession.open(OnnxGraph.projection(tensors), Device.CPU)) {
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
    assertClose(MlpReference.linear(x, rows, tensors.gateWeight(), Optional.empty(), 5), logits);
    assertEquals(-1, logits.mismatch(logitsAlone));
    assertClose(
        MlpReference.linear(x, rows, mix.weight(), Optional.of(mix.bias()), 2), coefficient);
  }

  @Test
  void hasOneOutputWithoutAResidualExpert() {
    ProjectionTensors full = projection(24, 5);
    ProjectionTensors plain = new ProjectionTensors(full.gateWeight(), Optional.empty(), 24, 5);
    try (OnnxSession session = OnnxSession.open(OnnxGraph.projection(plain), Device.CPU)) {
      assertEquals(1, session.outputCount());
    }
  }

  @Test
  void readsMisalignedAndHeapWeights() {
    MlpTensors mlp = MlpReference.random(arena, 16, 32, Activation.RELU, true, 2);
    MemorySegment askew = arena.allocate(mlp.fc1Weight().byteSize() + 1, 64).asSlice(1);
    askew.copyFrom(mlp.fc1Weight());
    MemorySegment heap = MemorySegment.ofArray(new float[32 * 16]).copyFrom(mlp.fc2Weight());
    MlpTensors moved =
        new MlpTensors(askew, mlp.fc1Bias(), heap, mlp.fc2Bias(), 16, 32, Activation.RELU);
    MemorySegment in = floats(arena, 3 * 16, 2, new SplittableRandom(3));
    MemorySegment out = arena.allocate(in.byteSize(), 4);
    try (OnnxSession session = OnnxSession.open(OnnxGraph.mlp(moved), Device.CPU)) {
      session.run(in, 3, out);
    }
    assertClose(MlpReference.mlp(mlp, in, 3), out);
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
  void refusesTensorsOfTwoGibibytesAndOfAnotherSizeThanTheirShape() {
    MemorySegment tooLarge = arena.allocate(4, 4);
    var large =
        assertThrows(
            GuildhallException.class,
            () -> new WeightTensor("fc1.weight", List.of(1 << 20, 512), tooLarge));
    assertTrue(large.toString().contains("fc1.weight [1048576, 512]"), large.getMessage());
    assertTrue(large.toString().contains("2 GiB"), large.getMessage());
    MemorySegment data = arena.allocate(60, 4);
    assertInvalid(() -> new WeightTensor("w", List.of(4, 4), data));
    assertInvalid(() -> new WeightTensor("w", List.of(0, 4), data));
  }

  @Test
  void runsOnManyThreadsAtOnce() throws Exception {
    int rows = 40;
    MlpTensors mlp = MlpReference.random(arena, 32, 64, Activation.GELU, true, 9);
    MemorySegment in = floats(arena, rows * 32L, 2, new SplittableRandom(4));
    MemorySegment expected = arena.allocate(in.byteSize(), 4);
    try (OnnxSession session = OnnxSession.open(OnnxGraph.mlp(mlp), Device.CPU);
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
    OnnxGraph graph = OnnxGraph.mlp(MlpReference.random(arena, 8, 8, Activation.RELU, false, 1));
    var e =
        assertThrows(
            GuildhallException.class, () -> OnnxSession.open(graph, new Device.Cuda(9999)));
    assertEquals(ErrorCode.UNAVAILABLE, e.code());
    assertTrue(e.toString().contains("cuda:9999"), e.getMessage());
    assertTrue(e.toString().contains("profile 'cuda'"), e.getMessage());
  }

  private OnnxSession small() {
    return OnnxSession.open(
        OnnxGraph.mlp(MlpReference.random(arena, 8, 8, Activation.RELU, false, 1)), Device.CPU);
  }

  private ProjectionTensors projection(int hidden, int experts) {
    SplittableRandom random = new SplittableRandom(21);
    return new ProjectionTensors(
        floats(arena, (long) experts * hidden, 0.2, random),
        Optional.of(
            new ProjectionTensors.Coefficient(
                floats(arena, 2L * hidden, 0.2, random), floats(arena, 2, 0.2, random))),
        hidden,
        experts);
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
