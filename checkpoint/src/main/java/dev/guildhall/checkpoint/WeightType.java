package dev.guildhall.checkpoint;

import dev.guildhall.proto.MoeLayerConfig;
import dev.guildhall.repository.Precision;
import dev.guildhall.tensor.DType;
import java.util.Optional;

/** What an import makes of the experts' weights. The gate's are left as they are. */
public enum WeightType {
  /** As they are stored, computed in fp32. */
  STORED(Optional.empty(), Precision.FP32),
  FP32(Optional.of(DType.FP32), Precision.FP32),
  BF16(Optional.of(DType.BF16), Precision.FP32),
  /** Computed in halves where the device is CUDA's; the CPU would refuse that. */
  FP16(Optional.of(DType.FP16), Precision.FP16),
  /** As they are stored, in 8 bits when they are loaded. */
  INT8(Optional.empty(), Precision.INT8),
  INT4(Optional.empty(), Precision.INT4);

  private final Optional<DType> stored;
  private final Precision precision;

  WeightType(Optional<DType> stored, Precision precision) {
    this.stored = stored;
    this.precision = precision;
  }

  /** The type to store, if another. */
  Optional<DType> stored() {
    return stored;
  }

  Precision precision() {
    return precision;
  }

  MoeLayerConfig in(MoeLayerConfig config) {
    return precision == Precision.FP32
        ? config
        : config.toBuilder().setPrecision(precision.configName()).build();
  }
}
