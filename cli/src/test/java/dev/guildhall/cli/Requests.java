package dev.guildhall.cli;

import dev.guildhall.proto.Dtype;
import dev.guildhall.proto.ForwardRequest;

/** Requests of random hidden states. */
public final class Requests {
  private Requests() {}

  /** fp32 hidden states [tokens, hiddenSize]. */
  public static ForwardRequest.Builder random(String layer, int tokens, int hiddenSize, long seed) {
    return of(layer, Tensors.random(seed, tokens * hiddenSize), tokens, hiddenSize);
  }

  /** fp32 hidden states of this shape. */
  static ForwardRequest.Builder of(String layer, float[] hiddenStates, long... shape) {
    ForwardRequest.Builder request =
        ForwardRequest.newBuilder()
            .setLayer(layer)
            .setDtype(Dtype.DTYPE_FP32)
            .setHiddenStates(Tensors.bytes(hiddenStates));
    for (long dimension : shape) {
      request.addShape(dimension);
    }
    return request;
  }
}
