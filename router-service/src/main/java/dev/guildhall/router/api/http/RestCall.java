package dev.guildhall.router.api.http;

import dev.guildhall.router.api.oip.InferCall;
import java.util.Map;

/**
 * A request and how its answer is to be written. Whoever holds it owns the call.
 *
 * @param binaryOutputs whether outputs that say nothing come as binary data
 * @param binary what the others say
 */
record RestCall(InferCall call, boolean binaryOutputs, Map<String, Boolean> binary) {
  RestCall {
    binary = Map.copyOf(binary);
  }

  boolean isBinary(String output) {
    return binary.getOrDefault(output, binaryOutputs);
  }
}
