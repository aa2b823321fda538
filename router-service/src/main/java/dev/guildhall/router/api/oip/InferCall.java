package dev.guildhall.router.api.oip;

import java.util.List;
import java.util.Map;

/**
 * A request as both faces of the protocol bring it. Whoever holds it owns its tensors.
 *
 * @param version of the model; empty: whichever is served
 * @param id comes back in the answer
 * @param parameters Boolean, Long, Double or String each
 * @param outputs names of those that are wanted; none: all
 */
public record InferCall(
    String model,
    String version,
    String id,
    Map<String, Object> parameters,
    List<InferTensor> inputs,
    List<String> outputs)
    implements AutoCloseable {

  public InferCall {
    parameters = Map.copyOf(parameters);
    inputs = List.copyOf(inputs);
    outputs = List.copyOf(outputs);
  }

  @Override
  public void close() {
    inputs.forEach(InferTensor::close);
  }
}
