package dev.guildhall.expert.exchange;

import dev.guildhall.expert.batching.ComputePool;
import dev.guildhall.proto.DescribeRequest;
import dev.guildhall.proto.DescribeResponse;
import dev.guildhall.proto.ExchangeRequest;
import dev.guildhall.proto.ExchangeResponse;
import dev.guildhall.proto.ExpertServiceGrpc;
import dev.guildhall.proto.WatchRequest;
import dev.guildhall.rpc.TensorMessage;
import dev.guildhall.rpc.TensorMethods;
import dev.guildhall.tracing.Tracing;
import io.grpc.BindableService;
import io.grpc.ServerServiceDefinition;
import io.grpc.ServiceDescriptor;
import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.ServerCalls;
import io.grpc.stub.StreamObserver;

/**
 * The gRPC service {@code guildhall.v1.ExpertService}. Runs on the event loops and does not block
 * them; experts run on the pool's workers.
 */
public final class ExpertEndpoint implements BindableService {
  private final HostedExperts experts;
  private final ComputePool pool;
  private final Tracing tracing;

  public ExpertEndpoint(HostedExperts experts, ComputePool pool, Tracing tracing) {
    this.experts = experts;
    this.pool = pool;
    this.tracing = tracing;
  }

  @Override
  public ServerServiceDefinition bindService() {
    ServiceDescriptor generated = ExpertServiceGrpc.getServiceDescriptor();
    return ServerServiceDefinition.builder(
            ServiceDescriptor.newBuilder(generated.getName())
                .setSchemaDescriptor(generated.getSchemaDescriptor())
                .addMethod(ExpertServiceGrpc.getDescribeMethod())
                .addMethod(ExpertServiceGrpc.getWatchMethod())
                .addMethod(TensorMethods.EXCHANGE)
                .build())
        .addMethod(
            ExpertServiceGrpc.getDescribeMethod(), ServerCalls.asyncUnaryCall(this::describe))
        .addMethod(
            ExpertServiceGrpc.getWatchMethod(), ServerCalls.asyncBidiStreamingCall(this::watch))
        .addMethod(TensorMethods.EXCHANGE, ServerCalls.asyncBidiStreamingCall(this::exchange))
        .build();
  }

  private void describe(DescribeRequest request, StreamObserver<DescribeResponse> responses) {
    responses.onNext(experts.describe());
    responses.onCompleted();
  }

  private StreamObserver<WatchRequest> watch(StreamObserver<DescribeResponse> responses) {
    return new WatchSession(experts, (ServerCallStreamObserver<DescribeResponse>) responses);
  }

  private StreamObserver<TensorMessage<ExchangeRequest>> exchange(
      StreamObserver<TensorMessage<ExchangeResponse>> responses) {
    return new ExchangeSession(
        experts,
        pool,
        tracing,
        (ServerCallStreamObserver<TensorMessage<ExchangeResponse>>) responses);
  }
}
