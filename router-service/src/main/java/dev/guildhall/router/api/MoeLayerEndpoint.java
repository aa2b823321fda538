package dev.guildhall.router.api;

import dev.guildhall.proto.DescribeLayerRequest;
import dev.guildhall.proto.DescribeLayerResponse;
import dev.guildhall.proto.ExpertHosts;
import dev.guildhall.proto.ForwardRequest;
import dev.guildhall.proto.ForwardResponse;
import dev.guildhall.proto.LayerSummary;
import dev.guildhall.proto.ListLayersRequest;
import dev.guildhall.proto.ListLayersResponse;
import dev.guildhall.proto.MoeLayerServiceGrpc;
import dev.guildhall.repository.LayerConfig;
import dev.guildhall.router.admission.Caller;
import dev.guildhall.router.forward.ForwardListener;
import dev.guildhall.router.forward.ForwardResult;
import dev.guildhall.router.forward.LayerForward;
import dev.guildhall.router.forward.ServedLayer;
import dev.guildhall.router.forward.ServedLayers;
import dev.guildhall.router.replicas.LayerHosts;
import dev.guildhall.router.replicas.Replica;
import dev.guildhall.router.replicas.RoutingTable;
import dev.guildhall.rpc.Statuses;
import dev.guildhall.rpc.TensorMessage;
import dev.guildhall.rpc.TensorMethods;
import dev.guildhall.tracing.RequestTrace;
import io.grpc.BindableService;
import io.grpc.ServerServiceDefinition;
import io.grpc.ServiceDescriptor;
import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.ServerCalls;
import io.grpc.stub.StreamObserver;
import java.util.List;
import java.util.function.Function;
import java.util.function.Supplier;

/**
 * The gRPC service {@code guildhall.v1.MoeLayerService}. Runs on the event loops and does not block
 * them.
 */
public final class MoeLayerEndpoint implements BindableService {
  private static final String FORWARD_NAME = TensorMethods.FORWARD.getFullMethodName();

  private final ServedLayers layers;
  private final ForwardTranslator translator;
  private final LayerForward forward;
  private final Supplier<RoutingTable> routes;
  private final StreamLimits limits;
  private final OpenStreams streams = new OpenStreams();

  public MoeLayerEndpoint(
      ServedLayers layers,
      LayerForward forward,
      Supplier<RoutingTable> routes,
      StreamLimits limits) {
    this.layers = layers;
    this.translator = new ForwardTranslator(layers);
    this.forward = forward;
    this.routes = routes;
    this.limits = limits;
  }

  @Override
  public ServerServiceDefinition bindService() {
    ServiceDescriptor generated = MoeLayerServiceGrpc.getServiceDescriptor();
    return ServerServiceDefinition.builder(
            ServiceDescriptor.newBuilder(generated.getName())
                .setSchemaDescriptor(generated.getSchemaDescriptor())
                .addMethod(TensorMethods.FORWARD)
                .addMethod(TensorMethods.FORWARD_STREAM)
                .addMethod(MoeLayerServiceGrpc.getListLayersMethod())
                .addMethod(MoeLayerServiceGrpc.getDescribeLayerMethod())
                .build())
        .addMethod(TensorMethods.FORWARD, ServerCalls.asyncUnaryCall(this::forward))
        .addMethod(
            TensorMethods.FORWARD_STREAM, ServerCalls.asyncBidiStreamingCall(this::forwardStream))
        .addMethod(
            MoeLayerServiceGrpc.getListLayersMethod(),
            ServerCalls.asyncUnaryCall(
                (request, responses) -> answer(request, responses, this::listLayers)))
        .addMethod(
            MoeLayerServiceGrpc.getDescribeLayerMethod(),
            ServerCalls.asyncUnaryCall(
                (request, responses) -> answer(request, responses, this::describeLayer)))
        .build();
  }

  private void forward(
      TensorMessage<ForwardRequest> request,
      StreamObserver<TensorMessage<ForwardResponse>> observer) {
    ServerCallStreamObserver<TensorMessage<ForwardResponse>> responses =
        (ServerCallStreamObserver<TensorMessage<ForwardResponse>>) observer;
    RequestTrace trace =
        forward.grpcTrace(
            FORWARD_NAME, TraceHeader.current(), ForwardTranslator.id(request.header()));
    UnaryAnswer answer = new UnaryAnswer(request.header(), trace, responses);
    // Set before the start: an answer may come at once, and its stream must know who is gone.
    CancelSwitch cancel = new CancelSwitch();
    responses.setOnCancelHandler(cancel);
    long deadline = System.nanoTime() + limits.timeoutNanos();
    Caller caller = TokenCheck.CALLER.get();
    cancel.set(forward.start(() -> translator.toJob(request, caller, deadline, trace), answer));
  }

  private StreamObserver<TensorMessage<ForwardRequest>> forwardStream(
      StreamObserver<TensorMessage<ForwardResponse>> responses) {
    return new ForwardStream(
        translator,
        forward,
        TokenCheck.CALLER.get(),
        limits,
        (ServerCallStreamObserver<TensorMessage<ForwardResponse>>) responses,
        streams);
  }

  /** Lets every stream end once what it has asked for is answered. */
  public void drain() {
    streams.drain();
  }

  private static <Q, A> void answer(Q request, StreamObserver<A> responses, Function<Q, A> method) {
    A response;
    try {
      response = method.apply(request);
    } catch (RuntimeException e) {
      responses.onError(Statuses.toCallFailure(e));
      return;
    }
    responses.onNext(response);
    responses.onCompleted();
  }

  private ListLayersResponse listLayers(ListLayersRequest request) {
    RoutingTable table = routes.get();
    return ListLayersResponse.newBuilder()
        .addAllLayers(
            layers.all().stream().map(layer -> summary(layer, hosts(table, layer))).toList())
        .build();
  }

  private DescribeLayerResponse describeLayer(DescribeLayerRequest request) {
    ServedLayer layer = layers.layer(request.getLayer());
    LayerHosts hosts = hosts(routes.get(), layer);
    DescribeLayerResponse.Builder response =
        DescribeLayerResponse.newBuilder()
            .setSummary(summary(layer, hosts))
            .setConfig(layer.proto());
    List<List<Replica>> byExpert = hosts.byExpert();
    for (int expert = 0; expert < byExpert.size(); expert++) {
      response.addExperts(
          ExpertHosts.newBuilder()
              .setExpert(expert)
              .addAllReplicas(byExpert.get(expert).stream().map(Replica::target).toList()));
    }
    return response.build();
  }

  private static LayerHosts hosts(RoutingTable table, ServedLayer layer) {
    // It may be replaced and left meanwhile.
    return table.find(layer.version()).orElse(LayerHosts.none(layer.name(), layer.config()));
  }

  private static LayerSummary summary(ServedLayer layer, LayerHosts hosts) {
    LayerConfig config = layer.config();
    return LayerSummary.newBuilder()
        .setName(layer.name())
        .setHiddenSize(config.hiddenSize())
        .setNumExperts(config.numExperts())
        .setK(config.k())
        .setUseResidual(config.useResidual())
        .setReady(hosts.serves(config.missingExperts()))
        .setDigest(layer.version().digest())
        .build();
  }

  private record UnaryAnswer(
      ForwardRequest request,
      RequestTrace trace,
      StreamObserver<TensorMessage<ForwardResponse>> responses)
      implements ForwardListener {
    @Override
    public void succeeded(ForwardResult result) {
      TensorMessage<ForwardResponse> response;
      try {
        response = ForwardTranslator.toResponse(request, result);
      } catch (RuntimeException | OutOfMemoryError e) {
        failed(e);
        return;
      }
      trace.span().end();
      try (response) {
        responses.onNext(response);
      }
      responses.onCompleted();
    }

    @Override
    public void failed(Throwable failure) {
      trace.fail(failure, () -> responses.onError(Statuses.toCallFailure(failure)));
    }
  }
}
