package dev.guildhall.router.api.oip;

import dev.guildhall.proto.inference.InferStatistics;
import dev.guildhall.proto.inference.ModelMetadataResponse;
import dev.guildhall.proto.inference.ModelMetadataResponse.TensorMetadata;
import dev.guildhall.proto.inference.ModelStatistics;
import dev.guildhall.proto.inference.ModelStatisticsResponse;
import dev.guildhall.proto.inference.RepositoryIndexResponse;
import dev.guildhall.proto.inference.RepositoryIndexResponse.ModelIndex;
import dev.guildhall.proto.inference.StatisticDuration;
import dev.guildhall.router.forward.ForwardStatistics;
import java.util.List;

/** What is known of models, as the protocol's gRPC messages. */
final class ModelsWire {
  private ModelsWire() {}

  static ModelMetadataResponse metadata(Models.Model model) {
    return ModelMetadataResponse.newBuilder()
        .setName(model.name())
        .addVersions(model.version())
        .setPlatform(Models.PLATFORM)
        .addAllInputs(tensors(model.inputs()))
        .addAllOutputs(tensors(model.outputs()))
        .build();
  }

  private static List<TensorMetadata> tensors(List<TensorSpec> tensors) {
    return tensors.stream()
        .map(tensor ->
            TensorMetadata.newBuilder()
                .setName(tensor.name())
                .setDatatype(tensor.datatype())
                .addAllShape(tensor.shape())
                .build())
        .toList();
  }

  static RepositoryIndexResponse index(List<Models.Entry> entries) {
    RepositoryIndexResponse.Builder response = RepositoryIndexResponse.newBuilder();
    for (Models.Entry entry : entries) {
      response.addModels(
          ModelIndex.newBuilder()
              .setName(entry.name())
              .setVersion(entry.version())
              .setState(entry.state())
              .setReason(entry.reason()));
    }
    return response.build();
  }

  static ModelStatisticsResponse statistics(Models models, List<Models.Model> asked) {
    return ModelStatisticsResponse.newBuilder()
        .addAllModelStats(
            asked.stream().map(model -> statistics(model, models.statistics(model))).toList())
        .build();
  }

  private static ModelStatistics statistics(Models.Model model, ForwardStatistics.Totals totals) {
    return ModelStatistics.newBuilder()
        .setName(model.name())
        .setVersion(model.version())
        .setLastInference(totals.lastMillis())
        .setInferenceCount(totals.tokens())
        .setExecutionCount(totals.succeeded())
        .setInferenceStats(
            InferStatistics.newBuilder()
                .setSuccess(duration(totals.succeeded(), totals.succeededNanos()))
                .setFail(duration(totals.failed(), totals.failedNanos()))
                .setQueue(duration(totals.succeeded(), totals.queueNanos()))
                .setComputeInput(duration(0, 0))
                .setComputeInfer(duration(totals.succeeded(), totals.computeNanos()))
                .setComputeOutput(duration(0, 0)))
        .build();
  }

  private static StatisticDuration duration(long count, long nanos) {
    return StatisticDuration.newBuilder().setCount(count).setNs(nanos).build();
  }
}
