package dev.guildhall.checkpoint.deepspeed;

import java.util.Optional;

/**
 * The name that an expert's tensor has in a model's state_dict, taken apart.
 *
 * @param prefix the MoE module's name; empty if the model is the MoE module
 * @param inExpert the tensor's name within the expert
 */
record TensorName(String prefix, int expert, String inExpert) {
  /** The gate's weight within the MoE module. */
  static final String GATE = "deepspeed_moe.gate.wg.weight";

  /** What comes before an expert's number within the MoE module. */
  static final String EXPERTS = "deepspeed_moe.experts.deepspeed_experts.";

  /** Empty if it is no expert's. */
  static Optional<TensorName> parse(String name) {
    int experts = name.indexOf(EXPERTS);
    int number = experts + EXPERTS.length();
    int dot = name.indexOf('.', number);
    if (experts < 0 || dot < 0 || !name.substring(number, dot).matches("[0-9]{1,6}")) {
      return Optional.empty();
    }
    if (experts > 0 && name.charAt(experts - 1) != '.') {
      return Optional.empty();
    }
    return Optional.of(
        new TensorName(
            name.substring(0, Math.max(0, experts - 1)),
            Integer.parseInt(name.substring(number, dot)),
            name.substring(dot + 1)));
  }
}
