package dev.guildhall.fuzz;

import dev.guildhall.onnx.ExpertFileFuzz;
import dev.guildhall.repository.LayerConfigFuzz;
import dev.guildhall.rpc.TensorMarshallerFuzz;
import dev.guildhall.safetensors.SafetensorsFuzz;
import java.util.stream.Stream;

/**
 * What is fuzzed. A target is a class with a static {@code fuzzerTestOneInput(byte[])}, which
 * throws when its oracle is not content; it stands beside the tests of what it feeds.
 */
enum FuzzTarget {
  SAFETENSORS(SafetensorsFuzz.class, "dev.guildhall.safetensors.**:com.google.gson.stream.**"),
  LAYER_CONFIG(
      LayerConfigFuzz.class,
      "dev.guildhall.repository.**:com.google.gson.stream.**:com.google.protobuf.util.**"),
  TENSOR_MARSHALLER(
      TensorMarshallerFuzz.class, "dev.guildhall.rpc.**:com.google.protobuf.CodedInputStream**"),
  EXPERT_FILE(
      ExpertFileFuzz.class,
      "dev.guildhall.onnx.**:dev.guildhall.proto.onnx.**:com.google.protobuf.CodedInputStream**");

  private final Class<?> type;
  private final String instrumented;

  FuzzTarget(Class<?> type, String instrumented) {
    this.type = type;
    this.instrumented = instrumented;
  }

  Class<?> type() {
    return type;
  }

  Stream<byte[]> seeds() {
    return switch (this) {
      case SAFETENSORS -> SafetensorsFuzz.seeds();
      case LAYER_CONFIG -> LayerConfigFuzz.seeds();
      case TENSOR_MARSHALLER -> TensorMarshallerFuzz.seeds();
      case EXPERT_FILE -> ExpertFileFuzz.seeds();
    };
  }

  /**
   * The classes whose branches guide the fuzzer. Few, for instrumenting all of protobuf takes
   * longer than a whole run in the build.
   */
  String instrumented() {
    return instrumented;
  }
}
