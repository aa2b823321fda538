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

  private static final String EXPERT = "{expert}";

  public WeightNames {
    files = List.copyOf(files);
  }

  public String expertPrefix(int expertIndex) {
    return expert.replace(EXPERT, Integer.toString(expertIndex));
  }

  /** Whether a tensor is the layer's, and not of something else in the same files. */
  public boolean used(String tensor) {
    return tensor.equals(gate)
        || gateBias.filter(tensor::equals).isPresent()
        || scoreCorrectionBias.filter(tensor::equals).isPresent()
        || sharedExpertGate.filter(tensor::equals).isPresent()
        || tensor.startsWith(coefficient + ".")
        || ofExpert(tensor);
  }

  /** Whether a tensor is an expert's, or the dense one's. */
  public boolean ofExpert(String tensor) {
    return tensor.startsWith(residual + ".")
        || tensor.startsWith(sharedExpert + ".")
        || ofRoutedExpert(tensor);
  }

  private boolean ofRoutedExpert(String tensor) {
    int number = expert.indexOf(EXPERT);
    if (number < 0) {
      return tensor.startsWith(expert + ".");
    }
    int from = number;
    while (from < tensor.length() && Character.isDigit(tensor.charAt(from))) {
      from++;
    }
    return from > number
        && tensor.startsWith(expert.replace(EXPERT, tensor.substring(number, from)) + ".");
  }
}
