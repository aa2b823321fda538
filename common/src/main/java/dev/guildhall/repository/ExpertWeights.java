package dev.guildhall.repository;

import java.util.Optional;

/** An expert's weights and what is computed of them, from [n, H] to [n, H]. */
public sealed interface ExpertWeights {

  /** H. */
  int hiddenSize();

  /**
   * fc2(activation(fc1(x))).
   *
   * @param fc1 [F, H]
   * @param fc2 [H, F]
   */
  record Mlp(Linear fc1, Activation activation, Linear fc2) implements ExpertWeights {
    @Override
    public int hiddenSize() {
      return fc1.inSize();
    }
  }

  /**
   * down(activation(gate(x)) * up(x)).
   *
   * @param gate [F, H]
   * @param up [F, H]
   * @param swigluLimit of gpt_oss's clamped form
   * @param down [H, F]
   */
  record GatedMlp(
      Linear gate, Linear up, Activation activation, Optional<Double> swigluLimit, Linear down)
      implements ExpertWeights {
    @Override
    public int hiddenSize() {
      return gate.inSize();
    }
  }
}
