package dev.guildhall.repository;

import java.util.Optional;

/** What an expert computes, and how its weights are called. */
public sealed interface ExpertArchitecture {

  /**
   * fc2(activation(fc1(x))).
   *
   * @param fc1 name of the first linear map below an expert's prefix
   * @param fc2 name of the second
   */
  record Mlp(Activation activation, String fc1, String fc2) implements ExpertArchitecture {}

  /**
   * down(activation(gate(x)) * up(x)).
   *
   * @param swigluLimit gpt_oss's clamped form, if given
   * @param input the maps of gate and up
   * @param down name of the last linear map below an expert's prefix
   */
  record GatedMlp(
      Activation activation, Optional<Double> swigluLimit, GatedInput input, String down)
      implements ExpertArchitecture {}

  /** Where the gate's and the up map's weights are; names below an expert's prefix. */
  sealed interface GatedInput {
    record Apart(String gate, String up) implements GatedInput {}

    /**
     * Both in one map.
     *
     * @param interleaved rows alternate, gate first; else all of gate's come before up's
     */
    record Fused(String gateUp, boolean interleaved) implements GatedInput {}
  }

  /**
   * One .onnx file an expert.
   *
   * @param file relative to the layer's folder; {@code {expert}} stands for the expert's number
   * @param residualFile file of the residual MLP
   */
  record Onnx(String file, String residualFile) implements ExpertArchitecture {
    public String fileOf(int expert) {
      return file.replace("{expert}", Integer.toString(expert));
    }
  }
}
