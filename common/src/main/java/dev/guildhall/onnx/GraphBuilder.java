package dev.guildhall.onnx;

import com.google.protobuf.ByteString;
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
import dev.guildhall.proto.onnx.TensorShapeProto;
import dev.guildhall.proto.onnx.TensorShapeProto.Dimension;
import dev.guildhall.proto.onnx.TypeProto;
import dev.guildhall.proto.onnx.ValueInfoProto;
import dev.guildhall.repository.Activation;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/** Collects the nodes and weights of one {@link OnnxGraph}. */
final class GraphBuilder {
  /** The version that belongs to opset 20, the first with Gelu. */
  private static final long IR_VERSION = 9;

  private static final long OPSET = 20;

  private final GraphProto.Builder graph;
  private final List<WeightTensor> weights = new ArrayList<>();

  GraphBuilder(String name, int hiddenSize) {
    graph = GraphProto.newBuilder().setName(name).addInput(rows(OnnxGraph.INPUT, hiddenSize));
  }

  /**
   * Adds output = input · weightᵀ + bias and gives the output's name. PyTorch's [out, in] weights
   * are taken as they lie; once packed by the session, transB costs nothing.
   */
  String linear(
      String name,
      String input,
      String output,
      int inWidth,
      int outWidth,
      MemorySegment weight,
      Optional<MemorySegment> bias) {
    NodeProto.Builder gemm =
        NodeProto.newBuilder()
            .setOpType("Gemm")
            .setName(name)
            .addInput(input)
            .addInput(weight(name + ".weight", List.of(outWidth, inWidth), weight))
            .addOutput(output)
            .addAttribute(
                AttributeProto.newBuilder().setName("transB").setType(AttributeType.INT).setI(1));
    bias.ifPresent(data -> gemm.addInput(weight(name + ".bias", List.of(outWidth), data)));
    graph.addNode(gemm);
    return output;
  }

  /** Adds the activation and gives its output's name. */
  String activation(Activation activation, String input) {
    switch (activation) {
      case RELU -> graph.addNode(node("Relu", "activated", input));
      case GELU -> graph.addNode(gelu("none", input));
      case GELU_TANH -> graph.addNode(gelu("tanh", input));
      case SILU -> {
        graph.addNode(node("Sigmoid", "sigmoid", input));
        graph.addNode(node("Mul", "activated", input, "sigmoid"));
      }
    }
    return "activated";
  }

  GraphBuilder output(String name, int width) {
    graph.addOutput(rows(name, width));
    return this;
  }

  OnnxGraph build() {
    ModelProto model =
        ModelProto.newBuilder()
            .setIrVersion(IR_VERSION)
            .setProducerName("guildhall")
            .addOpsetImport(OperatorSetIdProto.newBuilder().setVersion(OPSET))
            .setGraph(graph)
            .build();
    return new OnnxGraph(model, weights);
  }

  private static NodeProto.Builder gelu(String approximate, String input) {
    return node("Gelu", "activated", input)
        .addAttribute(
            AttributeProto.newBuilder()
                .setName("approximate")
                .setType(AttributeType.STRING)
                .setS(ByteString.copyFromUtf8(approximate)));
  }

  private static NodeProto.Builder node(String opType, String output, String... inputs) {
    return NodeProto.newBuilder()
        .setOpType(opType)
        .setName(output)
        .addAllInput(List.of(inputs))
        .addOutput(output);
  }

  private String weight(String name, List<Integer> shape, MemorySegment data) {
    WeightTensor tensor = new WeightTensor(name, shape, data);
    weights.add(tensor);
    TensorProto.Builder initializer =
        TensorProto.newBuilder()
            .setName(name)
            .setDataType(DataType.FLOAT)
            .setDataLocation(DataLocation.EXTERNAL)
            // The format wants a file name; the session gets the tensor itself instead.
            .addExternalData(
                StringStringEntryProto.newBuilder().setKey("location").setValue("supplied"));
    shape.forEach(initializer::addDims);
    graph.addInitializer(initializer);
    return name;
  }

  private static ValueInfoProto rows(String name, int width) {
    return ValueInfoProto.newBuilder()
        .setName(name)
        .setType(
            TypeProto.newBuilder()
                .setTensorType(
                    TypeProto.Tensor.newBuilder()
                        .setElemType(DataType.FLOAT)
                        .setShape(
                            TensorShapeProto.newBuilder()
                                .addDim(Dimension.newBuilder().setDimParam("n"))
                                .addDim(Dimension.newBuilder().setDimValue(width)))))
        .build();
  }
}
