package dev.guildhall.expert.runtime;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.guildhall.error.ErrorCode;
import dev.guildhall.error.GuildhallException;
import dev.guildhall.onnx.Device;
import dev.guildhall.onnx.ExpertReference;
import dev.guildhall.repository.Activation;
import dev.guildhall.repository.ExpertWeights;
import dev.guildhall.repository.Precision;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class OnnxExpertTest {
  @Test
  void computesAnMlp() {
    try (Arena arena = Arena.ofConfined()) {
      ExpertWeights weights = ExpertReference.mlp(arena, 16, 40, Activation.SILU, true, 1);
      MemorySegment in = ExpertReference.floats(arena, 5 * 16, 2, new SplittableRandom(2));
      MemorySegment out = arena.allocate(in.byteSize(), 4);
      try (ExpertRuntime expert = OnnxExpert.of(weights, Precision.FP32, Device.CPU)) {
        assertEquals(16, expert.hiddenSize());
        expert.run(in, 5, out);
      }
      double[] expected = ExpertReference.compute(weights, in, 5);
      for (int i = 0; i < expected.length; i++) {
        assertEquals(expected[i], ExpertReference.get(out, i), 1e-5);
      }
    }
  }

  @Test
  void computesInHalvesOnGpusOnly() {
    try (Arena arena = Arena.ofConfined()) {
      ExpertWeights weights = ExpertReference.mlp(arena, 16, 40, Activation.SILU, true, 1);
      var e =
          assertThrows(
              GuildhallException.class,
              () -> OnnxExpert.of(weights, Precision.FP16, Device.CPU).close());
      assertEquals(
          "precision is fp16; allowed on device cpu are fp32, int8 and int4", e.getMessage());
    }
  }

  @Test
  void saysThatAModelIsMissing(@TempDir Path folder) {
    Path file = folder.resolve("expert0.onnx");
    var e =
        assertThrows(GuildhallException.class, () -> OnnxExpert.file(file, 16, Device.CPU).close());
    assertEquals(ErrorCode.NOT_FOUND, e.code());
  }
}
