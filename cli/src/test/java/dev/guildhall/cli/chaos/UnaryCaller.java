package dev.guildhall.cli.chaos;

import dev.guildhall.proto.ForwardRequest;
import dev.guildhall.proto.ForwardResponse;
import dev.guildhall.proto.MoeLayerServiceGrpc;
import io.grpc.ManagedChannel;
import io.grpc.netty.NettyChannelBuilder;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.TimeUnit;

/**
 * A client as gRPC makes it, with nothing of ours: unary calls that wait until a connection is
 * ready. It may repeat of itself what a server has certainly not begun (transparent retry), as any
 * gRPC client does; it has no retry policy.
 */
record UnaryCaller(ManagedChannel channel, Duration deadline) implements Caller {
  private static final Duration DEADLINE = Duration.ofSeconds(10);

  static UnaryCaller of(String target) {
    return of(target, DEADLINE);
  }

  static UnaryCaller of(String target, Duration deadline) {
    return new UnaryCaller(NettyChannelBuilder.forTarget(target).usePlaintext().build(), deadline);
  }

  /** Calls go to each of several routers in turn, and to those that are left when one goes. */
  static UnaryCaller ofAll(List<String> targets) {
    return new UnaryCaller(
        NettyChannelBuilder.forTarget(RouterList.target(targets))
            .defaultLoadBalancingPolicy("round_robin")
            .usePlaintext()
            .build(),
        DEADLINE);
  }

  @Override
  public ForwardResponse forward(ForwardRequest request) {
    return MoeLayerServiceGrpc.newBlockingStub(channel)
        .withWaitForReady()
        .withDeadlineAfter(deadline.toNanos(), TimeUnit.NANOSECONDS)
        .forward(request);
  }

  @Override
  public void close() {
    channel.shutdownNow();
  }
}
