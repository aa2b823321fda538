package dev.guildhall.checkpoint.torch;

import dev.guildhall.tensor.DType;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * What a pickle may name of Python's modules: the whole list. The types stand for themselves and
 * load nothing; what a call of a function gives is decided in {@link TorchUnpickler}.
 */
sealed interface TorchGlobal {
  /** The type of a storage's elements. */
  record StorageType(DType dtype) implements TorchGlobal {}

  /** An element type of torch as a value, for example {@code torch.bfloat16}. */
  record NamedType(String name) implements TorchGlobal {}

  /** What may be called. */
  enum Function implements TorchGlobal {
    REBUILD_TENSOR,
    REBUILD_PARAMETER,
    ORDERED_DICT,
    SIZE,
    DEVICE,
    SET
  }

  /** Finds what is allowed under {@code module} and {@code name}. */
  static Optional<TorchGlobal> find(String module, String name) {
    return Optional.ofNullable(Allowed.BY_NAME.get(module + "." + name));
  }

  /** The list. */
  final class Allowed {
    private static final List<String> TYPES =
        List.of(
            "float64 double float32 float float16 half bfloat16 complex32 complex64 complex128",
            "float8_e4m3fn float8_e5m2 float8_e4m3fnuz float8_e5m2fnuz",
            "int64 long int32 int int16 short int8 uint8 uint16 uint32 uint64 bool",
            "qint8 qint32 quint8");

    private static final Map<String, TorchGlobal> BY_NAME = byName();

    private Allowed() {}

    private static Map<String, TorchGlobal> byName() {
      Map<String, TorchGlobal> all = new HashMap<>();
      all.put("torch.DoubleStorage", new StorageType(DType.FP64));
      all.put("torch.FloatStorage", new StorageType(DType.FP32));
      all.put("torch.HalfStorage", new StorageType(DType.FP16));
      all.put("torch.BFloat16Storage", new StorageType(DType.BF16));
      all.put("torch.LongStorage", new StorageType(DType.INT64));
      all.put("torch.IntStorage", new StorageType(DType.INT32));
      all.put("torch.ShortStorage", new StorageType(DType.INT16));
      all.put("torch.CharStorage", new StorageType(DType.INT8));
      all.put("torch.ByteStorage", new StorageType(DType.UINT8));
      all.put("torch.BoolStorage", new StorageType(DType.BOOL));
      all.put("torch._utils._rebuild_tensor_v2", Function.REBUILD_TENSOR);
      all.put("torch._utils._rebuild_parameter", Function.REBUILD_PARAMETER);
      all.put("collections.OrderedDict", Function.ORDERED_DICT);
      all.put("torch.Size", Function.SIZE);
      all.put("torch.device", Function.DEVICE);
      // DeepSpeed's checkpoints hold one, of module names.
      all.put("builtins.set", Function.SET);
      all.put("__builtin__.set", Function.SET);
      for (String line : TYPES) {
        for (String type : line.split(" ", -1)) {
          all.put("torch." + type, new NamedType("torch." + type));
        }
      }
      return Map.copyOf(all);
    }
  }
}
