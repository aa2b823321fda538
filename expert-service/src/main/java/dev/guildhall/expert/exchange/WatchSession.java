package dev.guildhall.expert.exchange;

import static java.util.stream.Collectors.toSet;

import dev.guildhall.proto.DescribeResponse;
import dev.guildhall.proto.WatchRequest;
import dev.guildhall.repository.LayerVersion;
import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.StreamObserver;

/** One router's {@code Watch} call. */
final class WatchSession implements StreamObserver<WatchRequest> {
  private final ServerCallStreamObserver<DescribeResponse> responses;
  private final HostedExperts.Follower follower;

  WatchSession(HostedExperts experts, ServerCallStreamObserver<DescribeResponse> responses) {
    this.responses = responses;
    // Descriptions are few and small: they may wait in gRPC for a peer that does not read.
    this.follower = experts.follow(responses::onNext);
    responses.setOnCancelHandler(follower::leave);
    responses.setOnCloseHandler(follower::leave);
  }

  @Override
  public void onNext(WatchRequest request) {
    follower.uses(
        request.getInUseList().stream()
            .map(version -> new LayerVersion(version.getName(), version.getDigest()))
            .collect(toSet()));
  }

  @Override
  public void onError(Throwable failure) {
    follower.leave();
  }

  @Override
  public void onCompleted() {
    follower.leave();
    responses.onCompleted();
  }
}
