package dev.guildhall.router.api.oip;

import dev.guildhall.repository.LayerVersion;
import java.util.List;
import java.util.Map;

/**
 * An answer as both faces of the protocol give it. Whoever holds it owns its tensors.
 *
 * @param layer the version that computed it
 * @param id of the request
 * @param parameters Long or String each
 */
public record InferAnswer(
    LayerVersion layer, String id, Map<String, Object> parameters, List<InferTensor> outputs)
    implements AutoCloseable {

  @Override
  public void close() {
    outputs.forEach(InferTensor::close);
  }
}
