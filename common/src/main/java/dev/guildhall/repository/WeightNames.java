package dev.guildhall.repository;

import java.util.List;

/**
 * The .safetensors files of a layer and what their tensors are called.
 *
 * @param files relative to the layer's folder
 * @param gate the gate's weight [E, H]
 * @param coefficient prefix of the residual coefficient's weight [2, H] and bias [2]
 * @param expert prefix of an expert; {@code {expert}} stands for its number
 * @param residual prefix of the residual MLP
 */
public record WeightNames(
    List<String> files, String gate, String coefficient, String expert, String residual) {

  public WeightNames {
    files = List.copyOf(files);
  }

  public String expertPrefix(int expertIndex) {
    return expert.replace("{expert}", Integer.toString(expertIndex));
  }
}
