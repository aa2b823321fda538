package dev.guildhall.onnx;

import dev.guildhall.proto.onnx.ModelProto;
import dev.guildhall.repository.ExpertWeights;
import dev.guildhall.repository.Precision;
import dev.guildhall.repository.ProjectionWeights;
import java.util.List;

/**
 * A model of ours: a graph, and the tensors that its external initializers stand for. It takes
 * {@code hidden_states} [n, H] and gives fp32 [n, width] outputs, n free.
 *
 * @param weights by the names of the external initializers
 */
public record OnnxGraph(ModelProto model, List<WeightTensor> weights) {
  static final String INPUT = "hidden_states";

  public OnnxGraph {
    weights = List.copyOf(weights);
  }

  /**
   * An expert: {@code output} [n, H] of {@code hidden_states} [n, H].
   *
   * @throws dev.guildhall.error.GuildhallException INVALID_ARGUMENT if a tensor reaches 2 GiB
   */
  public static OnnxGraph expert(ExpertWeights expert, Precision precision) {
    int hidden = expert.hiddenSize();
    GraphBuilder graph = new GraphBuilder("expert", hidden, precision);
    switch (expert) {
      case ExpertWeights.Mlp mlp -> {
        String fc1 = graph.linear("fc1", graph.input(), mlp.fc1());
        graph.output("fc2", graph.activation(mlp.activation(), fc1), mlp.fc2());
      }
      case ExpertWeights.GatedMlp gated -> {
        String gate = graph.linear("gate", graph.input(), gated.gate());
        String up = graph.linear("up", graph.input(), gated.up());
        String product =
            gated.swigluLimit().isPresent()
                ? graph.clampedSwiglu(gate, up, gated.swigluLimit().get())
                : graph.multiply("gated", graph.activation(gated.activation(), gate), up);
        graph.output("down", product, gated.down());
      }
    }
    return graph.build();
  }

  /**
   * The router's projection: logits [n, E], and a second output [n, 2] or [n, 1] if the weights mix
   * a dense expert in. Raw products: softmax and sigmoid are the router's.
   *
   * @throws dev.guildhall.error.GuildhallException INVALID_ARGUMENT as for {@link #expert}
   */
  public static OnnxGraph projection(ProjectionWeights weights) {
    GraphBuilder graph = new GraphBuilder("projection", weights.gate().inSize(), Precision.FP32);
    graph.output("logits", graph.input(), weights.gate());
    weights.mix().ifPresent(mix -> graph.output("mix", graph.input(), mix));
    return graph.build();
  }
}
