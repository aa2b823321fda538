package dev.guildhall.cli;

import com.google.protobuf.UnsafeByteOperations;
import dev.guildhall.proto.ForwardRequest;
import dev.guildhall.rpc.WireFloats;
import dev.guildhall.safetensors.StoredTensor;

/** Requests of tensors in files. */
final class ForwardRequests {
  private ForwardRequests() {}

  /**
   * A request that reads its hidden states where they are, below 2 GiB.
   *
   * @param hiddenStates [..., H] in FP32, FP16 or BF16; valid until the request has been answered
   */
  static ForwardRequest.Builder of(String layer, StoredTensor hiddenStates) {
    return ForwardRequest.newBuilder()
        .setLayer(layer)
        .setDtype(WireFloats.proto(hiddenStates.dtype()))
        .addAllShape(hiddenStates.shape())
        .setHiddenStates(UnsafeByteOperations.unsafeWrap(hiddenStates.data().asByteBuffer()));
  }
}
