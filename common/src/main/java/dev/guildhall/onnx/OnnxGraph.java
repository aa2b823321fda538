package dev.guildhall.onnx;

import dev.guildhall.proto.onnx.ModelProto;
import java.util.List;
import java.util.Optional;

/**
 * A model of ours: a graph whose initializers are all external, and the tensors they stand for. It
 * takes {@code hidden_states} [n, H] and gives fp32 [n, width] outputs, n free.
 *
 * @param weights as many as the graph has initializers, by the same names
 */
public record OnnxGraph(ModelProto model, List<WeightTensor> weights) {
  static final String INPUT = "hidden_states";

  public OnnxGraph {
    weights = List.copyOf(weights);
  }

  /**
   * The expert {@code mlp}: {@code output} [n, H] = fc2(activation(fc1(hidden_states))).
   *
   * @throws dev.guildhall.error.GuildhallException INVALID_ARGUMENT if a tensor has another size
   *     than its shape takes, or reaches 2 GiB
   */
  public static OnnxGraph mlp(MlpTensors mlp) {
    int hidden = mlp.hiddenSize();
    int ffn = mlp.ffnSize();
    GraphBuilder graph = new GraphBuilder("mlp", hidden);
    String fc1 = graph.linear("fc1", INPUT, "fc1_out", hidden, ffn, mlp.fc1Weight(), mlp.fc1Bias());
    String activated = graph.activation(mlp.activation(), fc1);
    graph.linear("fc2", activated, "output", ffn, hidden, mlp.fc2Weight(), mlp.fc2Bias());
    return graph.output("output", hidden).build();
  }

  /**
   * The router's projection: {@code logits} [n, E], and {@code coefficient} [n, 2] as second output
   * if the layer has a residual expert. Raw products: the softmax is the gate's.
   *
   * @throws dev.guildhall.error.GuildhallException INVALID_ARGUMENT as for {@link #mlp}
   */
  public static OnnxGraph projection(ProjectionTensors tensors) {
    int hidden = tensors.hiddenSize();
    int experts = tensors.numExperts();
    GraphBuilder graph = new GraphBuilder("projection", hidden);
    graph.linear("gate", INPUT, "logits", hidden, experts, tensors.gateWeight(), Optional.empty());
    graph.output("logits", experts);
    tensors
        .coefficient()
        .ifPresent(mix -> {
          graph.linear(
              "coefficient",
              INPUT,
              "coefficient",
              hidden,
              2,
              mix.weight(),
              Optional.of(mix.bias()));
          graph.output("coefficient", 2);
        });
    return graph.build();
  }
}
