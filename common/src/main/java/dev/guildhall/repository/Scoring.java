package dev.guildhall.repository;

import java.util.Optional;

/**
 * How a gate makes weights of logits.
 *
 * @param normTopK divides the weights of a token's routes by their sum
 * @param scale multiplies every weight, at the end
 * @param groups which experts a token may choose among; all of them without
 */
public record Scoring(
    ScoreFunction function, boolean normTopK, double scale, Optional<Groups> groups) {

  /** From the logits of all experts to their scores. */
  public enum ScoreFunction {
    SOFTMAX,
    SIGMOID
  }

  /**
   * Groups of neighbouring experts, equally large; a token uses the best ones (DeepSeek-V2, section
   * 2.2.2; DeepSeek-V3, section 2.1.2).
   *
   * @param count n_group
   * @param used topk_group
   */
  public record Groups(int count, int used, GroupScore score) {}

  /** What a group is judged by. */
  public enum GroupScore {
    MAX,
    TOP2_SUM
  }

  /** DeepSpeed's, for layers of k choices. */
  public static Scoring deepSpeed(int k) {
    return new Scoring(ScoreFunction.SOFTMAX, k > 1, 1, Optional.empty());
  }
}
