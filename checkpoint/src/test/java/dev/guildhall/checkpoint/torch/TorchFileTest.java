package dev.guildhall.checkpoint.torch;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.guildhall.error.ErrorCode;
import dev.guildhall.error.GuildhallException;
import dev.guildhall.safetensors.StoredTensor;
import dev.guildhall.tensor.DType;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.util.EnumSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Files that PyTorch itself wrote; src/test/resources/torch/make.py is how. */
class TorchFileTest {
  private static final Path FOLDER = Path.of("src/test/resources/torch");

  @TempDir Path temporary;

  private static float[] floats(StoredTensor tensor) {
    assertEquals(DType.FP32, tensor.dtype());
    return tensor.data().toArray(ValueLayout.JAVA_FLOAT_UNALIGNED);
  }

  @ParameterizedTest
  @ValueSource(strings = {"state_dict.pt", "protocol4.pt"})
  void readsAStateDictInItsOrder(String name) {
    try (TorchFile file = TorchFile.open(FOLDER.resolve(name))) {
      assertEquals(List.of("weight", "bias"), List.copyOf(file.tensors().keySet()));
      StoredTensor weight = file.tensor("weight");
      assertEquals(List.of(2L, 3L), weight.shape());
      assertArrayEquals(new float[] {0, 1, 2, 3, 4, 5}, floats(weight));
      assertArrayEquals(new float[] {0.5f, -0.5f}, floats(file.tensor("bias")));
      assertTrue(weight.data().isMapped());
      assertEquals(Map.of(), file.values());
    }
  }

  @Test
  void makesViewsRowMajorAndCopiesOnlyThoseThatAreNot() {
    try (TorchFile file = TorchFile.open(FOLDER.resolve("mixed.pt"))) {
      assertArrayEquals(new float[] {1, 2}, floats(file.tensor("parameter")));
      assertTrue(file.tensor("parameter").data().isMapped());

      StoredTensor transposed = file.tensor("transposed");
      assertEquals(List.of(4L, 3L), transposed.shape());
      assertArrayEquals(new float[] {0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11}, floats(transposed));
      assertFalse(transposed.data().isMapped());

      assertArrayEquals(new float[] {1, 5, 9}, floats(file.tensor("column")));
      assertArrayEquals(new float[] {7, 7, 7, 8, 8, 8}, floats(file.tensor("expanded")));

      StoredTensor rows = file.tensor("rows");
      assertEquals(List.of(2L, 4L), rows.shape());
      assertArrayEquals(new float[] {4, 5, 6, 7, 8, 9, 10, 11}, floats(rows));
      assertTrue(rows.data().isMapped());

      StoredTensor scalar = file.tensor("scalar");
      assertEquals(List.of(), scalar.shape());
      assertEquals(3, scalar.data().get(ValueLayout.JAVA_LONG_UNALIGNED, 0));
      assertEquals(List.of(0L, 5L), file.tensor("empty").shape());
      assertEquals(0, file.tensor("empty").data().byteSize());
    }
  }

  @Test
  void readsEveryElementType() {
    try (TorchFile file = TorchFile.open(FOLDER.resolve("mixed.pt"))) {
      for (DType dtype : EnumSet.range(DType.FP64, DType.BOOL)) {
        if (dtype != DType.FP32) {
          String name = dtype.name().toLowerCase(Locale.ROOT);
          StoredTensor tensor = file.tensor("dtypes." + name);
          assertEquals(dtype, tensor.dtype());
          assertEquals(List.of(2L), tensor.shape());
        }
      }
      assertArrayEquals(
          new short[] {0x3fc0, (short) 0xc000},
          file.tensor("dtypes.bf16").data().toArray(ValueLayout.JAVA_SHORT_UNALIGNED));
      assertArrayEquals(
          new short[] {0x3e00, (short) 0xc000},
          file.tensor("dtypes.fp16").data().toArray(ValueLayout.JAVA_SHORT_UNALIGNED));
      assertArrayEquals(
          new long[] {1, -2},
          file.tensor("dtypes.int64").data().toArray(ValueLayout.JAVA_LONG_UNALIGNED));
      assertArrayEquals(
          new byte[] {1, 0}, file.tensor("dtypes.bool").data().toArray(ValueLayout.JAVA_BYTE));
    }
  }

  @Test
  void readsPlainValues() {
    try (TorchFile file = TorchFile.open(FOLDER.resolve("mixed.pt"))) {
      assertEquals(
          Map.ofEntries(
              Map.entry("values.yes", true),
              Map.entry("values.small", 7L),
              Map.entry("values.large", 1L << 40),
              Map.entry("values.pi", 3.5),
              Map.entry("values.text", "täxt"),
              Map.entry("values.dtype", "torch.bfloat16"),
              Map.entry("values.device", "cuda:1"),
              Map.entry("values.size.0", 2L),
              Map.entry("values.size.1", 3L),
              Map.entry("values.list.0", 1L),
              Map.entry("values.list.1", "two"),
              Map.entry("values.list.2.0", 3.0),
              Map.entry("values.set.0", "a"),
              Map.entry("values.5", "number as key")),
          file.values());
    }
  }

  @Test
  void tensorsCannotBeTouchedAfterClose() {
    TorchFile file = TorchFile.open(FOLDER.resolve("state_dict.pt"));
    StoredTensor weight = file.tensor("weight");
    file.close();
    assertThrows(IllegalStateException.class, () -> weight.data().get(ValueLayout.JAVA_BYTE, 0));
  }

  @Test
  void refusesWhatPyTorchWroteOtherwise() {
    refused("legacy.pt", "PyTorch before 1.6");
    refused("make.py", "no zip archive");
  }

  private static void refused(String name, String why) {
    Path path = FOLDER.resolve(name);
    GuildhallException e =
        assertThrows(GuildhallException.class, () -> TorchFile.open(path).close());
    assertEquals(ErrorCode.INVALID_ARGUMENT, e.code());
    assertTrue(e.getMessage().startsWith(path + ": "), e.getMessage());
    assertTrue(e.getMessage().contains(why), e.getMessage());
  }

  @Test
  void tellsWhichTensorIsMissing() {
    try (TorchFile file = TorchFile.open(FOLDER.resolve("state_dict.pt"))) {
      GuildhallException e =
          assertThrows(GuildhallException.class, () -> file.tensor("gate.weight"));
      assertEquals(ErrorCode.NOT_FOUND, e.code());
      assertEquals(file.path() + " has no tensor \"gate.weight\"; it has 2 others", e.getMessage());
    }
  }

  @Test
  void tellsAMissingFileFromABadOne() {
    Path path = temporary.resolve("none.pt");
    GuildhallException e =
        assertThrows(GuildhallException.class, () -> TorchFile.open(path).close());
    assertEquals(ErrorCode.NOT_FOUND, e.code());
    assertEquals(path + ": there is no such file", e.getMessage());
    e = assertThrows(GuildhallException.class, () -> TorchFile.open(temporary).close());
    assertEquals(ErrorCode.INVALID_ARGUMENT, e.code());
  }
}
