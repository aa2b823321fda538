package dev.guildhall.onnx;

import ai.onnxruntime.OnnxJavaType;
import ai.onnxruntime.OnnxTensor;
import ai.onnxruntime.OnnxTensorLike;
import ai.onnxruntime.OrtEnvironment;
import ai.onnxruntime.OrtException;
import dev.guildhall.error.ErrorCode;
import dev.guildhall.error.GuildhallException;
import dev.guildhall.safetensors.StoredTensor;
import dev.guildhall.tensor.DType;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteOrder;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * The tensors that a session reads its weights from, kept reachable with their memory for as long
 * as the session: ONNX Runtime itself holds only addresses.
 */
record SuppliedWeights(Map<String, OnnxTensorLike> byName) implements AutoCloseable {
  static final SuppliedWeights NONE = new SuppliedWeights(Map.of());

  static SuppliedWeights of(List<WeightTensor> weights, OrtEnvironment environment) {
    Map<String, OnnxTensorLike> tensors = new LinkedHashMap<>();
    SuppliedWeights supplied = new SuppliedWeights(tensors);
    try {
      for (WeightTensor weight : weights) {
        tensors.put(
            weight.name(),
            OnnxTensor.createTensor(
                environment,
                readable(weight.tensor()).asByteBuffer().order(ByteOrder.nativeOrder()),
                weight.dimensions(),
                type(weight.tensor().dtype())));
      }
      return supplied;
    } catch (OrtException e) {
      supplied.close();
      throw new GuildhallException(
          ErrorCode.INTERNAL, "weights cannot be handed to ONNX Runtime: " + e.getMessage(), e);
    }
  }

  private static OnnxJavaType type(DType dtype) {
    return switch (dtype) {
      case FP32 -> OnnxJavaType.FLOAT;
      case FP16 -> OnnxJavaType.FLOAT16;
      case BF16 -> OnnxJavaType.BFLOAT16;
      default -> throw new IllegalArgumentException("weights of dtype " + dtype);
    };
  }

  /** The tensor's memory, or a copy that stays beside what the session makes of it. */
  private static MemorySegment readable(StoredTensor tensor) {
    MemorySegment data = tensor.data();
    return tensor.inPlace() ? data : Arena.ofAuto().allocate(data.byteSize(), 64).copyFrom(data);
  }

  @Override
  public void close() {
    byName.values().forEach(OnnxTensorLike::close);
  }
}
