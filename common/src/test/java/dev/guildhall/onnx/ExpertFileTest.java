package dev.guildhall.onnx;

import static dev.guildhall.onnx.OnnxValues.rows;
import static dev.guildhall.onnx.OnnxValues.value;
import static dev.guildhall.onnx.OnnxValues.width;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.guildhall.error.ErrorCode;
import dev.guildhall.error.GuildhallException;
import dev.guildhall.proto.onnx.AttributeProto;
import dev.guildhall.proto.onnx.AttributeProto.AttributeType;
import dev.guildhall.proto.onnx.GraphProto;
import dev.guildhall.proto.onnx.ModelProto;
import dev.guildhall.proto.onnx.NodeProto;
import dev.guildhall.proto.onnx.OperatorSetIdProto;
import dev.guildhall.proto.onnx.StringStringEntryProto;
import dev.guildhall.proto.onnx.TensorProto;
import dev.guildhall.proto.onnx.TensorProto.DataLocation;
import dev.guildhall.proto.onnx.TensorProto.DataType;
import dev.guildhall.proto.onnx.TensorShapeProto.Dimension;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Experts that come as the user's own .onnx file. */
class ExpertFileTest {
  @TempDir private Path folder;

  @Test
  void runsAModel() throws IOException {
    Path file = write(graph(node("Neg", "x", "y")).addInput(rows("x", 4)).addOutput(rows("y", 4)));
    assertEquals(List.of(-1f, -2f, -3f, -4f, -5f, -6f, -7f, -8f), run(file));
  }

  @Test
  void runsAModelThatGivesItsInputBack() throws IOException {
    Path file =
        write(graph(node("Identity", "x", "y")).addInput(rows("x", 4)).addOutput(rows("y", 4)));
    assertEquals(List.of(1f, 2f, 3f, 4f, 5f, 6f, 7f, 8f), run(file));
  }

  @Test
  void readsWeightsFromTheFileBesideTheModel() throws IOException {
    ByteBuffer bias = ByteBuffer.allocate(16).order(ByteOrder.LITTLE_ENDIAN);
    bias.asFloatBuffer().put(new float[] {10, 20, 30, 40});
    Files.write(folder.resolve("bias.bin"), bias.array());
    TensorProto.Builder initializer =
        TensorProto.newBuilder()
            .setName("bias")
            .addDims(4)
            .setDataType(DataType.FLOAT)
            .setDataLocation(DataLocation.EXTERNAL)
            .addExternalData(
                StringStringEntryProto.newBuilder().setKey("location").setValue("bias.bin"));
    NodeProto.Builder add =
        NodeProto.newBuilder().setOpType("Add").addInput("x").addInput("bias").addOutput("y");
    Path file =
        write(
            graph(add).addInitializer(initializer).addInput(rows("x", 4)).addOutput(rows("y", 4)));
    assertEquals(List.of(11f, 22f, 33f, 44f, 15f, 26f, 37f, 48f), run(file));
  }

  @Test
  void takesTheFirstOutputAndIgnoresTheOthers() throws IOException {
    Path file =
        write(
            graph(node("Neg", "x", "z_first"), node("Abs", "x", "a_second"))
                .addInput(rows("x", 4))
                .addOutput(rows("z_first", 4))
                .addOutput(rows("a_second", 4)));
    assertEquals(-1f, run(file).getFirst());
  }

  @Test
  void refusesAnotherWidth() throws IOException {
    Path file = write(graph(node("Neg", "x", "y")).addInput(rows("x", 3)).addOutput(rows("y", 3)));
    assertRefused(file, "input is 'x' fp32 [n, 3]", "fp32 [n, 4]");
  }

  @Test
  void refusesAFixedNumberOfRows() throws IOException {
    Dimension one = Dimension.newBuilder().setDimValue(1).build();
    Path file =
        write(
            graph(node("Neg", "x", "y"))
                .addInput(value("x", DataType.FLOAT, one, width(4)))
                .addOutput(value("y", DataType.FLOAT, one, width(4))));
    assertRefused(file, "[1, 4]", "n dynamic");
  }

  @Test
  void refusesARankOtherThanTwo() throws IOException {
    Dimension free = Dimension.newBuilder().setDimParam("batch").build();
    Path file =
        write(
            graph(node("Neg", "x", "y"))
                .addInput(value("x", DataType.FLOAT, free, width(5), width(4)))
                .addOutput(value("y", DataType.FLOAT, free, width(5), width(4))));
    assertRefused(file, "'x' fp32 [batch, 5, 4]");
  }

  @Test
  void refusesAnOutputOfAnotherWidth() throws IOException {
    NodeProto.Builder concat =
        node("Concat", "x", "y")
            .addInput("x")
            .addAttribute(
                AttributeProto.newBuilder().setName("axis").setI(1).setType(AttributeType.INT));
    Path file = write(graph(concat).addInput(rows("x", 4)).addOutput(rows("y", 8)));
    assertRefused(file, "first output is 'y' fp32 [n, 8]");
  }

  @Test
  void refusesTwoInputs() throws IOException {
    NodeProto.Builder add =
        NodeProto.newBuilder().setOpType("Add").addInput("x").addInput("w").addOutput("y");
    Path file =
        write(graph(add).addInput(rows("x", 4)).addInput(rows("w", 4)).addOutput(rows("y", 4)));
    assertRefused(file, "2 inputs", "'w' fp32 [n, 4]");
  }

  @Test
  void refusesAModelWithoutOutputs() throws IOException {
    Path file = write(graph(node("Neg", "x", "y")).addInput(rows("x", 4)));
    assertRefused(file, "has no output", "fp32 [n, 4]");
  }

  @Test
  void refusesATruncatedFile() throws IOException {
    Path whole = write(graph(node("Neg", "x", "y")).addInput(rows("x", 4)).addOutput(rows("y", 4)));
    byte[] bytes = Files.readAllBytes(whole);
    for (int length : new int[] {0, 1, bytes.length / 3, bytes.length / 2, bytes.length - 1}) {
      Path cut = folder.resolve("cut.onnx");
      Files.write(cut, Arrays.copyOf(bytes, length));
      assertRefused(cut);
    }
  }

  @Test
  void refusesBytesThatAreNoModel() throws IOException {
    for (int seed = 0; seed < 20; seed++) {
      byte[] bytes = new byte[200];
      new SplittableRandom(seed).nextBytes(bytes);
      Path file = folder.resolve("random.onnx");
      Files.write(file, bytes);
      assertRefused(file);
    }
  }

  @Test
  void saysThatAFileIsMissing() {
    Path file = folder.resolve("missing.onnx");
    var e =
        assertThrows(
            GuildhallException.class, () -> OnnxSession.openExpert(file, 4, Device.CPU).close());
    assertEquals(ErrorCode.NOT_FOUND, e.code());
    assertTrue(e.toString().contains("missing.onnx"), e.getMessage());
  }

  private static void assertRefused(Path file, String... parts) {
    var e =
        assertThrows(
            GuildhallException.class, () -> OnnxSession.openExpert(file, 4, Device.CPU).close());
    assertEquals(ErrorCode.INVALID_ARGUMENT, e.code(), e.getMessage());
    assertTrue(e.toString().contains(file.getFileName().toString()), e.getMessage());
    for (String part : parts) {
      assertTrue(e.toString().contains(part), e.getMessage());
    }
  }

  /** Rows 1..4 and 5..8 through the model. */
  private static List<Float> run(Path file) {
    try (Arena arena = Arena.ofConfined();
        OnnxSession session = OnnxSession.openExpert(file, 4, Device.CPU)) {
      MemorySegment in = arena.allocateFrom(ValueLayout.JAVA_FLOAT, 1, 2, 3, 4, 5, 6, 7, 8);
      MemorySegment out = arena.allocate(in.byteSize(), 4);
      session.run(in, 2, out);
      return out.elements(ValueLayout.JAVA_FLOAT)
          .map(element -> element.get(ValueLayout.JAVA_FLOAT, 0))
          .toList();
    }
  }

  private Path write(GraphProto.Builder graph) throws IOException {
    ModelProto model =
        ModelProto.newBuilder()
            .setIrVersion(8)
            .addOpsetImport(OperatorSetIdProto.newBuilder().setVersion(17))
            .setGraph(graph)
            .build();
    Path file = folder.resolve("expert.onnx");
    Files.write(file, model.toByteArray());
    return file;
  }

  private static GraphProto.Builder graph(NodeProto.Builder... nodes) {
    GraphProto.Builder graph = GraphProto.newBuilder().setName("user");
    for (NodeProto.Builder node : nodes) {
      graph.addNode(node);
    }
    return graph;
  }

  private static NodeProto.Builder node(String opType, String input, String output) {
    return NodeProto.newBuilder().setOpType(opType).addInput(input).addOutput(output);
  }
}
