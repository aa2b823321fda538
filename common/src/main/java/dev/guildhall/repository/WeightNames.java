package dev.guildhall.repository;

import java.util.List;
import java.util.Optional;

/**
 * The .safetensors files of a layer and what their tensors are called.
 *
 * @param files relative to the layer's folder
 * @param gate the gate's weight [E, H]
 * @param coefficient prefix of the residual coefficient's weight [2, H] and bias [2]
 * @param expert prefix of an expert; {@code {expert}} stands for its number
 * @param residual prefix of the residual MLP
 * @param gateBias the gate's bias [E], if it has one
 * @param scoreCorrectionBias added to the scores [E] when experts are chosen, if there is one
 * @param sharedExpert prefix of the shared expert
 * @param sharedExpertGate the weight [1, H] of the shared expert's gate, if it has one
 */
public record WeightNames(
    List<String> files,
    String gate,
    String coefficient,
    String expert,
    String residual,
    Optional<String> gateBias,
    Optional<String> scoreCorrectionBias,
    String sharedExpert,
    Optional<String> sharedExpertGate) {

  public WeightNames {
    files = List.copyOf(files);
  }

  public String expertPrefix(int expertIndex) {
    return expert.replace("{expert}", Integer.toString(expertIndex));
  }
}
