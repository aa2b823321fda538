package dev.guildhall.onnx;

import static dev.guildhall.onnx.OnnxValues.rows;
import static dev.guildhall.onnx.OnnxValues.value;
import static dev.guildhall.onnx.OnnxValues.width;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.ByteString;
import com.google.protobuf.DiscardUnknownFieldsParser;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.Parser;
import dev.guildhall.error.ErrorCode;
import dev.guildhall.error.GuildhallException;
import dev.guildhall.fuzz.GoldenFiles;
import dev.guildhall.fuzz.HeapBound;
import dev.guildhall.fuzz.ScratchFile;
import dev.guildhall.fuzz.SeedFolder;
import dev.guildhall.proto.onnx.GraphProto;
import dev.guildhall.proto.onnx.ModelProto;
import dev.guildhall.proto.onnx.NodeProto;
import dev.guildhall.proto.onnx.OperatorSetIdProto;
import dev.guildhall.proto.onnx.TensorProto;
import dev.guildhall.proto.onnx.TensorProto.DataLocation;
import dev.guildhall.proto.onnx.TensorProto.DataType;
import dev.guildhall.proto.onnx.TensorShapeProto.Dimension;
import dev.guildhall.proto.onnx.TypeProto;
import dev.guildhall.proto.onnx.ValueInfoProto;
import dev.guildhall.safetensors.SafetensorsFile;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.stream.Stream;

/**
 * Fuzz target: a user's expert of H = 4 whose .onnx file is these bytes.
 *
 * <p>Oracle: it is refused as INVALID_ARGUMENT, or it has one input that is no initializer,
 * declared fp32 [n, 4], its first output has width 4, and a run of one and of three rows gives as
 * many rows or fails as INTERNAL.
 *
 * <p>What is fuzzed is our check of the signature, not ONNX Runtime, which is native code that
 * takes the JVM with it when it fails. So only models that parse as the part of ONNX in onnx.proto
 * are tried, without what they hold beside it, of the operators below, with small initializers
 * inside the file. Not covered: bytes that are no protobuf (ExpertFileTest tries some), other
 * operators, subgraphs, functions, external data.
 */
public final class ExpertFileFuzz {
  private static final int HIDDEN_SIZE = 4;
  private static final int MAX_NODES = 16;
  private static final int MAX_RANK = 4;
  private static final long MAX_ELEMENTS = 1 << 16;

  private static final Set<String> OPERATORS =
      Set.of("Abs", "Add", "Concat", "Gemm", "Identity", "MatMul", "Mul", "Neg", "Relu", "Shape");

  private static final Parser<ModelProto> MODEL_PARSER =
      DiscardUnknownFieldsParser.wrap(ModelProto.parser());

  private static final ScratchFile FILE = new ScratchFile("fuzzed.onnx");

  private ExpertFileFuzz() {}

  /** Small models, one with golden weights: all but the last few are right experts. */
  public static Stream<byte[]> seeds() {
    ValueInfoProto x = rows("x", HIDDEN_SIZE);
    ValueInfoProto y = rows("y", HIDDEN_SIZE);
    return Stream.of(
            graph(node("Neg", "y", "x")).addInput(x).addOutput(y),
            graph(node("Identity", "y", "x")).addInput(x).addOutput(y),
            graph(node("Abs", "y", "x"), node("Relu", "z", "x"))
                .addInput(x)
                .addOutput(y)
                .addOutput(rows("z", HIDDEN_SIZE)),
            graph(node("MatMul", "h", "x", "w"), node("Add", "y", "h", "b"))
                .addInitializer(golden("w", HIDDEN_SIZE, HIDDEN_SIZE))
                .addInitializer(golden("b", HIDDEN_SIZE))
                .addInput(x)
                .addOutput(y),
            graph(node("Add", "y", "x", "b"))
                .addInitializer(golden("b", HIDDEN_SIZE))
                .addInput(x)
                .addInput(value("b", DataType.FLOAT, width(HIDDEN_SIZE)))
                .addOutput(y),
            graph(node("Add", "y", "x", "w"))
                .addInput(x)
                .addInput(rows("w", HIDDEN_SIZE))
                .addOutput(y),
            graph(node("Neg", "y", "x"))
                .addInput(value("x", DataType.FLOAT, width(1), width(HIDDEN_SIZE)))
                .addOutput(value("y", DataType.FLOAT, width(1), width(HIDDEN_SIZE))),
            graph(node("Neg", "y", "x")).addInput(rows("x", 3)).addOutput(rows("y", 3)),
            graph(node("Neg", "y", "x")).addInput(x))
        .map(graph ->
            ModelProto.newBuilder()
                .setIrVersion(8)
                .addOpsetImport(OperatorSetIdProto.newBuilder().setVersion(17))
                .setGraph(graph)
                .build()
                .toByteArray());
  }

  private static GraphProto.Builder graph(NodeProto... nodes) {
    return GraphProto.newBuilder().setName("g").addAllNode(Arrays.asList(nodes));
  }

  private static NodeProto node(String operator, String output, String... inputs) {
    return NodeProto.newBuilder()
        .setOpType(operator)
        .addAllInput(Arrays.asList(inputs))
        .addOutput(output)
        .build();
  }

  /** An initializer with the first numbers of a golden expert. */
  private static TensorProto golden(String name, long... shape) {
    long bytes = Arrays.stream(shape).reduce(Float.BYTES, Math::multiplyExact);
    try (SafetensorsFile file = SafetensorsFile.open(GoldenFiles.all().getFirst())) {
      MemorySegment weight = file.tensor("experts.0.fc1.weight").data().asSlice(0, bytes);
      return TensorProto.newBuilder()
          .setName(name)
          .setDataType(DataType.FLOAT)
          .addAllDims(Arrays.stream(shape).boxed().toList())
          .setRawData(ByteString.copyFrom(weight.toArray(ValueLayout.JAVA_BYTE)))
          .build();
    }
  }

  public static void fuzzerInitialize() throws Exception {
    SeedFolder.warmUp(ExpertFileFuzz::check);
  }

  public static void fuzzerTestOneInput(byte[] input) throws Exception {
    HeapBound.check(input, ExpertFileFuzz::check);
  }

  private static void check(byte[] input) throws IOException {
    ModelProto model;
    try {
      model = MODEL_PARSER.parseFrom(input);
    } catch (InvalidProtocolBufferException e) {
      return;
    }
    if (!isTried(model.getGraph())) {
      return;
    }
    FILE.write(model.toByteArray());
    try (OnnxSession session = OnnxSession.openExpert(FILE.path(), HIDDEN_SIZE, Device.CPU)) {
      checkAccepted(model.getGraph(), session);
    } catch (GuildhallException e) {
      assertEquals(ErrorCode.INVALID_ARGUMENT, e.code());
      assertTrue(e.getMessage().startsWith(FILE.path().toString()), e.getMessage());
    }
  }

  private static boolean isTried(GraphProto graph) {
    return graph.getNodeCount() <= MAX_NODES
        && graph.getNodeList().stream()
            .allMatch(node -> OPERATORS.contains(node.getOpType()) && node.getDomain().isEmpty())
        && graph.getInitializerList().stream().allMatch(ExpertFileFuzz::isSmall);
  }

  private static boolean isSmall(TensorProto tensor) {
    return tensor.getDataLocation() == DataLocation.DEFAULT
        && tensor.getExternalDataCount() == 0
        && tensor.getDimsCount() <= MAX_RANK
        && tensor.getDimsList().stream().allMatch(size -> size >= 0 && size <= MAX_ELEMENTS)
        && tensor.getDimsList().stream().reduce(1L, Math::multiplyExact) <= MAX_ELEMENTS;
  }

  private static void checkAccepted(GraphProto graph, OnnxSession session) {
    List<String> initializers =
        graph.getInitializerList().stream().map(TensorProto::getName).toList();
    List<ValueInfoProto> inputs =
        graph.getInputList().stream()
            .filter(input -> !initializers.contains(input.getName()))
            .toList();
    assertEquals(1, inputs.size());
    TypeProto.Tensor input = inputs.getFirst().getType().getTensorType();
    assertTrue(input.hasShape(), "an input without a shape");
    assertEquals(DataType.FLOAT, input.getElemType());
    List<Dimension> shape = input.getShape().getDimList();
    assertEquals(2, shape.size());
    assertTrue(!shape.getFirst().hasDimValue() || shape.getFirst().getDimValue() < 0);
    assertEquals(HIDDEN_SIZE, shape.getLast().getDimValue());
    // ONNX Runtime takes the output's shape that it infers, whatever is declared.
    assertEquals(HIDDEN_SIZE, session.inputWidth());
    assertEquals(1, session.outputCount());
    assertEquals(HIDDEN_SIZE, session.outputWidth(0));
    run(session, 1);
    run(session, 3);
  }

  private static void run(OnnxSession session, int rows) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment in = arena.allocate(ValueLayout.JAVA_FLOAT, (long) rows * HIDDEN_SIZE);
      MemorySegment out = arena.allocate(ValueLayout.JAVA_FLOAT, (long) rows * HIDDEN_SIZE);
      session.run(in, rows, out);
    } catch (GuildhallException e) {
      assertEquals(ErrorCode.INTERNAL, e.code());
    }
  }
}
