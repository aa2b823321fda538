package dev.guildhall.router.api.oip;

import dev.guildhall.tensor.DType;
import java.util.List;

/**
 * A tensor as messages describe it.
 *
 * @param datatype one of the protocol's, which those that we know share their names with
 * @param shape -1 for any length, in what describes a model
 */
public record TensorSpec(String name, String datatype, List<Long> shape) {
  /** The one input that every request has. */
  public static final String HIDDEN_STATES = "hidden_states";

  /** [tokens] which tokens take part. */
  public static final String USED_TOKEN = "used_token";

  /** As hidden_states. */
  public static final String OUTPUT = "output";

  /** [1] load-balancing loss. */
  public static final String L_AUX = "l_aux";

  /** [E] routes chosen by the gate. */
  public static final String EXP_COUNTS = "exp_counts";

  /** The inputs of a layer, in their order; only the first must be there. */
  public static final List<String> INPUTS = List.of(HIDDEN_STATES, USED_TOKEN);

  /** The outputs of a layer, in their order. */
  public static final List<String> OUTPUTS = List.of(OUTPUT, L_AUX, EXP_COUNTS);

  public TensorSpec {
    shape = List.copyOf(shape);
  }

  TensorSpec(String name, DType dtype, List<Long> shape) {
    this(name, dtype.name(), shape);
  }
}
