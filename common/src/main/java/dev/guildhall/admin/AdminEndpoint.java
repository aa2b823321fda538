package dev.guildhall.admin;

import dev.guildhall.proto.AdminServiceGrpc;
import dev.guildhall.proto.LoadLayerRequest;
import dev.guildhall.proto.LoadLayerResponse;
import dev.guildhall.proto.UnloadLayerRequest;
import dev.guildhall.proto.UnloadLayerResponse;
import dev.guildhall.repository.LayerVersion;
import dev.guildhall.rpc.Statuses;
import io.grpc.stub.StreamObserver;
import java.util.concurrent.CompletableFuture;
import java.util.function.Function;

/** The gRPC service {@code guildhall.v1.AdminService}. Does not block event loops. */
public final class AdminEndpoint extends AdminServiceGrpc.AdminServiceImplBase {
  private final LayerChanges changes;

  public AdminEndpoint(LayerChanges changes) {
    this.changes = changes;
  }

  @Override
  public void loadLayer(LoadLayerRequest request, StreamObserver<LoadLayerResponse> responses) {
    answer(
        changes.load(request.getLayer()),
        version -> LoadLayerResponse.newBuilder().setDigest(version.digest()).build(),
        responses);
  }

  @Override
  public void unloadLayer(
      UnloadLayerRequest request, StreamObserver<UnloadLayerResponse> responses) {
    answer(
        changes.unload(request.getLayer()),
        version -> UnloadLayerResponse.newBuilder().setDigest(version.digest()).build(),
        responses);
  }

  private static <A> void answer(
      CompletableFuture<LayerVersion> outcome,
      Function<LayerVersion, A> response,
      StreamObserver<A> responses) {
    // Nobody waits for it: whatever happens is told to the caller.
    var _ =
        outcome.whenComplete((version, failure) -> {
          if (failure != null) {
            responses.onError(Statuses.toCallFailure(LayerChanges.cause(failure)));
          } else {
            responses.onNext(response.apply(version));
            responses.onCompleted();
          }
        });
  }
}
