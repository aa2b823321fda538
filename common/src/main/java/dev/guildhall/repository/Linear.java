package dev.guildhall.repository;

import dev.guildhall.safetensors.StoredTensor;
import java.util.Optional;

/**
 * A linear map as torch.nn.Linear keeps it: {@code x weight^T + bias}; fp32, fp16 or bf16.
 *
 * @param weight [out, in]
 * @param bias [out], if there is one
 */
public record Linear(StoredTensor weight, Optional<StoredTensor> bias) {

  public int outSize() {
    return Math.toIntExact(weight.shape().getFirst());
  }

  public int inSize() {
    return Math.toIntExact(weight.shape().getLast());
  }
}
