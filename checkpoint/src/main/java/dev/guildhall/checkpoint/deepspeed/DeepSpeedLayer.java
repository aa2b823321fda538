package dev.guildhall.checkpoint.deepspeed;

import dev.guildhall.safetensors.StoredTensor;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * One MoE layer's tensors in a DeepSpeed checkpoint.
 *
 * @param prefix the MoE module's name in the model, for example {@code moe}; empty if the model is
 *     the MoE module
 * @param dense what does not belong to an expert, by its name within the module, for example {@code
 *     deepspeed_moe.gate.wg.weight} or {@code mlp.fc1.weight}
 * @param experts each expert's tensors by their names within the expert, for example {@code
 *     fc1.weight}; every expert has the same names, types and shapes
 */
record DeepSpeedLayer(
    String prefix, Map<String, StoredTensor> dense, List<Map<String, StoredTensor>> experts) {
  DeepSpeedLayer {
    dense = Collections.unmodifiableMap(new LinkedHashMap<>(dense));
    experts = List.copyOf(experts);
  }

  int numExperts() {
    return experts.size();
  }
}
