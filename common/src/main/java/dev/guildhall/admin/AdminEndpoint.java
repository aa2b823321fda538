package dev.guildhall.admin;

import dev.guildhall.proto.AdminServiceGrpc;
import dev.guildhall.proto.LoadLayerRequest;
import dev.guildhall.proto.LoadLayerResponse;
import dev.guildhall.proto.UnloadLayerRequest;
import dev.guildhall.proto.UnloadLayerResponse;
import dev.guildhall.repository.LayerVersion;
import dev.guildhall.repository.LiveRepository;
import dev.guildhall.rpc.Statuses;
import io.grpc.stub.StreamObserver;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.function.Function;

/** The gRPC service {@code guildhall.v1.AdminService}. Does not block event loops. */
public final class AdminEndpoint extends AdminServiceGrpc.AdminServiceImplBase {
  private final List<LiveRepository<?>> repositories;

  /**
   * @param repositories of the services in this process, those of experts first
   */
  public AdminEndpoint(List<LiveRepository<?>> repositories) {
    this.repositories = List.copyOf(repositories);
  }

  @Override
  public void loadLayer(LoadLayerRequest request, StreamObserver<LoadLayerResponse> responses) {
    answer(
        each(repository -> repository.load(request.getLayer())),
        version -> LoadLayerResponse.newBuilder().setDigest(version.digest()).build(),
        responses);
  }

  @Override
  public void unloadLayer(
      UnloadLayerRequest request, StreamObserver<UnloadLayerResponse> responses) {
    answer(
        each(repository -> repository.unload(request.getLayer())),
        version -> UnloadLayerResponse.newBuilder().setDigest(version.digest()).build(),
        responses);
  }

  /** One after the other; the last one's answer. */
  private CompletableFuture<LayerVersion> each(
      Function<LiveRepository<?>, CompletableFuture<LayerVersion>> action) {
    CompletableFuture<LayerVersion> all = action.apply(repositories.getFirst());
    for (LiveRepository<?> next : repositories.subList(1, repositories.size())) {
      all = all.thenCompose(done -> action.apply(next));
    }
    return all;
  }

  private static <A> void answer(
      CompletableFuture<LayerVersion> outcome,
      Function<LayerVersion, A> response,
      StreamObserver<A> responses) {
    // Nobody waits for it: whatever happens is told to the caller.
    var _ =
        outcome.whenComplete((version, failure) -> {
          if (failure != null) {
            responses.onError(Statuses.toCallFailure(cause(failure)));
          } else {
            responses.onNext(response.apply(version));
            responses.onCompleted();
          }
        });
  }

  private static Throwable cause(Throwable failure) {
    Throwable cause = failure instanceof CompletionException ? failure.getCause() : null;
    return cause == null ? failure : cause;
  }
}
