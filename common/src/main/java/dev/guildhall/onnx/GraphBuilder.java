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
import dev.guildhall.repository.Linear;
import dev.guildhall.repository.Precision;
import dev.guildhall.safetensors.StoredTensor;
import dev.guildhall.tensor.DType;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.List;

/** Collects the nodes and weights of one {@link OnnxGraph}. Names are those of node outputs. */
final class GraphBuilder {
  /** The version that belongs to opset 20, the first with Gelu. */
  private static final long IR_VERSION = 9;

  private static final long OPSET = 20;

  /** Of ONNX Runtime's own operators. */
  private static final String CONTRIB = "com.microsoft";

  /** Of MatMulNBits: rounds activations to 8 bits, a scale for each block. */
  private static final long ACCURACY = 4;

  /** The factor in the exponent of gpt_oss's swiglu. */
  private static final float SWIGLU_ALPHA = 1.702f;

  private final GraphProto.Builder graph;
  private final Precision precision;
  private final List<WeightTensor> weights = new ArrayList<>();

  GraphBuilder(String name, int hiddenSize, Precision precision) {
    this.precision = precision;
    graph = GraphProto.newBuilder().setName(name).addInput(rows(OnnxGraph.INPUT, hiddenSize));
    if (halves()) {
      cast("input", OnnxGraph.INPUT, DataType.FLOAT16);
    }
  }

  /** The graph's input, in the type that is computed in. */
  String input() {
    return halves() ? "input" : OnnxGraph.INPUT;
  }

  private boolean halves() {
    return precision == Precision.FP16;
  }

  /** Adds name = input · weightᵀ + bias. */
  String linear(String name, String input, Linear map) {
    switch (precision) {
      case FP32, FP16 -> gemm(name, input, map);
      case INT8 -> quantized(name, input, map, BlockQuantizer.INT8);
      case INT4 -> quantized(name, input, map, BlockQuantizer.INT4);
    }
    return name;
  }

  /**
   * PyTorch's [out, in] weights are taken as they lie; once packed by the session, transB costs
   * nothing.
   */
  private void gemm(String name, String input, Linear map) {
    NodeProto.Builder gemm =
        node("Gemm", name, input, weight(name + ".weight", map.weight()))
            .addAttribute(integer("transB", 1));
    map.bias().ifPresent(bias -> gemm.addInput(weight(name + ".bias", bias)));
    graph.addNode(gemm);
  }

  /**
   * The session owns the weights, so that it can free them once it has packed them in its own way.
   */
  private void quantized(String name, String input, Linear map, BlockQuantizer quantizer) {
    BlockQuantizer.Blocks blocks = quantizer.quantize(map.weight());
    String values =
        initializer(
            name + ".weight",
            DataType.UINT8,
            blocks.values(),
            map.outSize(),
            blocks.perRow(),
            quantizer.blockBytes());
    String scales =
        initializer(
            name + ".scales", DataType.FLOAT, blocks.scales(), map.outSize(), blocks.perRow());
    NodeProto.Builder product =
        node("MatMulNBits", name, input, values, scales)
            .setDomain(CONTRIB)
            .addAttribute(integer("K", map.inSize()))
            .addAttribute(integer("N", map.outSize()))
            .addAttribute(integer("bits", quantizer.bits()))
            .addAttribute(integer("block_size", BlockQuantizer.BLOCK))
            .addAttribute(integer("accuracy_level", ACCURACY));
    map.bias()
        .ifPresent(bias -> {
          // Neither zero points nor an order of the inputs.
          product.addInput("").addInput("").addInput(weight(name + ".bias", bias));
        });
    graph.addNode(product);
  }

  /** Adds the activation. */
  String activation(Activation activation, String input) {
    switch (activation) {
      case RELU -> graph.addNode(node("Relu", "activated", input));
      case GELU -> graph.addNode(gelu("none", input));
      case GELU_TANH -> graph.addNode(gelu("tanh", input));
      case SILU -> {
        graph.addNode(node("Sigmoid", "sigmoid", input));
        multiply("activated", input, "sigmoid");
      }
    }
    return "activated";
  }

  String multiply(String name, String a, String b) {
    graph.addNode(node("Mul", name, a, b));
    return name;
  }

  /** Adds (clamp(up, -limit, limit) + 1) * g * sigmoid(1.702 g), where g = min(gate, limit). */
  String clampedSwiglu(String gate, String up, double limit) {
    String most = scalar("limit", (float) limit);
    graph.addNode(node("Clip", "gate_clamped", gate, "", most));
    graph.addNode(node("Clip", "up_clamped", up, scalar("least", (float) -limit), most));
    graph.addNode(node("Add", "up_shifted", "up_clamped", scalar("one", 1)));
    multiply("exponent", "gate_clamped", scalar("alpha", SWIGLU_ALPHA));
    graph.addNode(node("Sigmoid", "sigmoid", "exponent"));
    multiply("glu", "gate_clamped", "sigmoid");
    return multiply("gated", "up_shifted", "glu");
  }

  /** Adds a linear map whose results are the graph's next output, [n, out] fp32. */
  void output(String name, String input, Linear map) {
    String product = linear(name, input, map);
    if (halves()) {
      product = name + "_fp32";
      cast(product, name, DataType.FLOAT);
    }
    graph.addOutput(rows(product, map.outSize()));
  }

  OnnxGraph build() {
    ModelProto model =
        ModelProto.newBuilder()
            .setIrVersion(IR_VERSION)
            .setProducerName("guildhall")
            .addOpsetImport(OperatorSetIdProto.newBuilder().setVersion(OPSET))
            .addOpsetImport(OperatorSetIdProto.newBuilder().setDomain(CONTRIB).setVersion(1))
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

  private static AttributeProto integer(String name, long value) {
    return AttributeProto.newBuilder().setName(name).setType(AttributeType.INT).setI(value).build();
  }

  private String cast(String name, String input, DataType to) {
    graph.addNode(node("Cast", name, input).addAttribute(integer("to", to.getNumber())));
    return name;
  }

  /**
   * Adds a tensor in the type that is computed in. A session converts what is stored in another one
   * when it is made, and keeps the result alone.
   */
  private String weight(String name, StoredTensor tensor) {
    weights.add(new WeightTensor(name, tensor));
    TensorProto.Builder initializer =
        TensorProto.newBuilder()
            .setName(name)
            .setDataType(type(tensor.dtype()))
            .addAllDims(tensor.shape())
            .setDataLocation(DataLocation.EXTERNAL)
            // The format wants a file name; the session gets the tensor itself instead.
            .addExternalData(
                StringStringEntryProto.newBuilder().setKey("location").setValue("supplied"));
    graph.addInitializer(initializer);
    DataType computed = halves() ? DataType.FLOAT16 : DataType.FLOAT;
    return type(tensor.dtype()) == computed ? name : cast(name + ".cast", name, computed);
  }

  private static DataType type(DType dtype) {
    return switch (dtype) {
      case FP32 -> DataType.FLOAT;
      case FP16 -> DataType.FLOAT16;
      case BF16 -> DataType.BFLOAT16;
      default -> throw new IllegalArgumentException("weights of dtype " + dtype);
    };
  }

  private String initializer(String name, DataType type, ByteString data, long... shape) {
    TensorProto.Builder initializer =
        TensorProto.newBuilder().setName(name).setDataType(type).setRawData(data);
    for (long dimension : shape) {
      initializer.addDims(dimension);
    }
    graph.addInitializer(initializer);
    return name;
  }

  private String scalar(String name, float value) {
    ByteBuffer data = ByteBuffer.allocate(Float.BYTES).order(ByteOrder.LITTLE_ENDIAN);
    initializer(name, DataType.FLOAT, ByteString.copyFrom(data.putFloat(value).flip()));
    return halves() ? cast(name + ".cast", name, DataType.FLOAT16) : name;
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
