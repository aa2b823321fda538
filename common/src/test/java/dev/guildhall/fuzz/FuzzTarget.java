package dev.guildhall.fuzz;

import dev.guildhall.onnx.ExpertFileFuzz;
import dev.guildhall.repository.LayerConfigFuzz;
import dev.guildhall.rpc.TensorMarshallerFuzz;
import dev.guildhall.safetensors.SafetensorsFuzz;
import java.io.IOException;
import java.time.Duration;
import java.util.stream.Stream;

/** What is fuzzed of this module. Each target stands beside the tests of what it feeds. */
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

  void run(Duration time) throws IOException, InterruptedException {
    FuzzRun.of(type, instrumented, this::seeds, time).run();
  }

  private Stream<byte[]> seeds() {
    return switch (this) {
      case SAFETENSORS -> SafetensorsFuzz.seeds();
      case LAYER_CONFIG -> LayerConfigFuzz.seeds();
      case TENSOR_MARSHALLER -> TensorMarshallerFuzz.seeds();
      case EXPERT_FILE -> ExpertFileFuzz.seeds();
    };
  }
}
