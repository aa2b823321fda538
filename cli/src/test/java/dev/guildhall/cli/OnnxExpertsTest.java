package dev.guildhall.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.guildhall.error.ErrorCode;
import dev.guildhall.error.GuildhallException;
import dev.guildhall.proto.ForwardResponse;
import dev.guildhall.proto.onnx.GraphProto;
import dev.guildhall.proto.onnx.ModelProto;
import dev.guildhall.proto.onnx.NodeProto;
import dev.guildhall.proto.onnx.OperatorSetIdProto;
import dev.guildhall.proto.onnx.TensorProto;
import dev.guildhall.proto.onnx.TensorShapeProto;
import dev.guildhall.proto.onnx.TensorShapeProto.Dimension;
import dev.guildhall.proto.onnx.TypeProto;
import dev.guildhall.proto.onnx.ValueInfoProto;
import dev.guildhall.repository.LayerRepository;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A layer whose experts are the user's own .onnx files, of an ffn size each. */
class OnnxExpertsTest {
  private static final String LAYER = "layer";
  private static final int HIDDEN = 8;
  private static final int EXPERTS = 3;
  private static final int TOKENS = 20;

  @TempDir private Path folder;

  /** relu(x · up) · down, up [H, F] and down [F, H]. */
  @SuppressWarnings("ArrayRecordComponent") // never compared
  private record Model(int ffnSize, float[] up, float[] down) {
    static Model of(int expert) {
      int ffnSize = 4 + 7 * expert;
      return new Model(
          ffnSize,
          Tensors.random(10 + expert, HIDDEN * ffnSize),
          Tensors.random(20 + expert, HIDDEN * ffnSize));
    }

    byte[] toOnnx() {
      return ModelProto.newBuilder()
          .setIrVersion(8)
          .addOpsetImport(OperatorSetIdProto.newBuilder().setVersion(17))
          .setGraph(
              GraphProto.newBuilder()
                  .setName("expert")
                  .addInput(rows("x"))
                  .addOutput(rows("y"))
                  .addInitializer(weight("up", up, HIDDEN, ffnSize))
                  .addInitializer(weight("down", down, ffnSize, HIDDEN))
                  .addNode(node("MatMul", "a", "x", "up"))
                  .addNode(node("Relu", "b", "a"))
                  .addNode(node("MatMul", "y", "b", "down")))
          .build()
          .toByteArray();
    }

    float[] run(float[] x, int token) {
      float[] y = new float[HIDDEN];
      for (int f = 0; f < ffnSize; f++) {
        double sum = 0;
        for (int d = 0; d < HIDDEN; d++) {
          sum += (double) x[token * HIDDEN + d] * up[d * ffnSize + f];
        }
        for (int d = 0; d < HIDDEN; d++) {
          y[d] += (float) Math.max(0, sum) * down[f * HIDDEN + d];
        }
      }
      return y;
    }
  }

  @Test
  void expertsOfDifferentSizesAreServed() throws Exception {
    Path layer = writeLayer();
    for (int expert = 0; expert < EXPERTS; expert++) {
      Files.write(layer.resolve("expert_%d.onnx".formatted(expert)), Model.of(expert).toOnnx());
    }
    float[] hiddenStates = Tensors.random(1, TOKENS * HIDDEN);
    try (ServedSystem system = ServedSystem.start(LayerRepository.open(folder))) {
      ForwardResponse response =
          system
              .client()
              .forward(
                  Requests.of(LAYER, hiddenStates, TOKENS, HIDDEN).setReturnRoutes(true).build());
      assertTrue(response.getExpCountsList().stream().allMatch(count -> count > 0));
      Tensors.assertClose(
          expected(hiddenStates, response), Tensors.floats(response.getOutput()), 1e-5);
    }
  }

  /** The experts' outputs by the routes that the router chose. */
  private static float[] expected(float[] hiddenStates, ForwardResponse response) {
    float[] output = new float[TOKENS * HIDDEN];
    for (int route = 0; route < response.getRoutes().getExpertCount(); route++) {
      int token = route % TOKENS;
      float[] row = Model.of(response.getRoutes().getExpert(route)).run(hiddenStates, token);
      for (int d = 0; d < HIDDEN; d++) {
        output[token * HIDDEN + d] += response.getRoutes().getWeight(route) * row[d];
      }
    }
    return output;
  }

  @Test
  void aMissingFileStopsTheStart() throws Exception {
    writeLayer();
    GuildhallException e =
        assertThrows(
            GuildhallException.class,
            () -> ServedSystem.start(LayerRepository.open(folder)).close());
    assertEquals(ErrorCode.NOT_FOUND, e.code());
    assertTrue(String.valueOf(e.getMessage()).contains("expert_0.onnx"), e.getMessage());
  }

  private Path writeLayer() throws IOException {
    return LayerFiles.onnx(
        folder,
        LAYER,
        """
        {"hidden_size": 8, "num_experts": 3, "k": 2, "drop_tokens": false,
         "top2_2nd_expert_sampling": false}
        """);
  }

  private static TensorProto weight(String name, float[] values, long rows, long columns) {
    return TensorProto.newBuilder()
        .setName(name)
        .setDataType(TensorProto.DataType.FLOAT)
        .addDims(rows)
        .addDims(columns)
        .setRawData(Tensors.bytes(values))
        .build();
  }

  private static NodeProto.Builder node(String opType, String output, String... inputs) {
    NodeProto.Builder node = NodeProto.newBuilder().setOpType(opType).addOutput(output);
    for (String input : inputs) {
      node.addInput(input);
    }
    return node;
  }

  private static ValueInfoProto rows(String name) {
    return ValueInfoProto.newBuilder()
        .setName(name)
        .setType(
            TypeProto.newBuilder()
                .setTensorType(
                    TypeProto.Tensor.newBuilder()
                        .setElemType(TensorProto.DataType.FLOAT)
                        .setShape(
                            TensorShapeProto.newBuilder()
                                .addDim(Dimension.newBuilder().setDimParam("n"))
                                .addDim(Dimension.newBuilder().setDimValue(HIDDEN)))))
        .build();
  }
}
