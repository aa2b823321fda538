package dev.guildhall.onnx;

import dev.guildhall.proto.onnx.TensorProto.DataType;
import dev.guildhall.proto.onnx.TensorShapeProto;
import dev.guildhall.proto.onnx.TensorShapeProto.Dimension;
import dev.guildhall.proto.onnx.TypeProto;
import dev.guildhall.proto.onnx.ValueInfoProto;
import java.util.Arrays;

/** Inputs and outputs of graphs that tests write. */
final class OnnxValues {
  private OnnxValues() {}

  static ValueInfoProto rows(String name, int width) {
    return value(
        name, DataType.FLOAT, Dimension.newBuilder().setDimParam("n").build(), width(width));
  }

  static Dimension width(int width) {
    return Dimension.newBuilder().setDimValue(width).build();
  }

  static ValueInfoProto value(String name, DataType type, Dimension... dimensions) {
    return ValueInfoProto.newBuilder()
        .setName(name)
        .setType(
            TypeProto.newBuilder()
                .setTensorType(
                    TypeProto.Tensor.newBuilder()
                        .setElemType(type)
                        .setShape(
                            TensorShapeProto.newBuilder().addAllDim(Arrays.asList(dimensions)))))
        .build();
  }
}
