package dev.guildhall.router.api.oip;

import dev.guildhall.admin.LayerChanges;
import dev.guildhall.error.ErrorCode;
import dev.guildhall.error.GuildhallException;
import dev.guildhall.proto.inference.GRPCInferenceServiceGrpc;
import dev.guildhall.proto.inference.ModelInferResponse;
import dev.guildhall.proto.inference.ModelMetadataRequest;
import dev.guildhall.proto.inference.ModelMetadataResponse;
import dev.guildhall.proto.inference.ModelReadyRequest;
import dev.guildhall.proto.inference.ModelReadyResponse;
import dev.guildhall.proto.inference.ModelStatisticsRequest;
import dev.guildhall.proto.inference.ModelStatisticsResponse;
import dev.guildhall.proto.inference.ModelStreamInferResponse;
import dev.guildhall.proto.inference.RepositoryIndexRequest;
import dev.guildhall.proto.inference.RepositoryIndexResponse;
import dev.guildhall.proto.inference.RepositoryModelLoadRequest;
import dev.guildhall.proto.inference.RepositoryModelLoadResponse;
import dev.guildhall.proto.inference.RepositoryModelUnloadResponse;
import dev.guildhall.proto.inference.ServerLiveResponse;
import dev.guildhall.proto.inference.ServerMetadataResponse;
import dev.guildhall.proto.inference.ServerReadyResponse;
import dev.guildhall.router.api.CancelSwitch;
import dev.guildhall.router.api.OpenStreams;
import dev.guildhall.router.api.PeerAddress;
import dev.guildhall.router.api.StreamLimits;
import dev.guildhall.router.api.TokenCheck;
import dev.guildhall.router.api.TraceHeader;
import dev.guildhall.router.forward.ForwardListener;
import dev.guildhall.router.forward.ForwardResult;
import dev.guildhall.router.forward.LayerForward;
import dev.guildhall.rpc.InferMessage;
import dev.guildhall.rpc.InferMethods;
import dev.guildhall.rpc.Statuses;
import dev.guildhall.rpc.TensorMessage;
import dev.guildhall.tracing.RequestTrace;
import io.grpc.BindableService;
import io.grpc.MethodDescriptor;
import io.grpc.ServerInterceptor;
import io.grpc.ServerServiceDefinition;
import io.grpc.ServiceDescriptor;
import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.ServerCalls;
import io.grpc.stub.StreamObserver;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.function.Function;

/**
 * The gRPC service {@code inference.GRPCInferenceService}. Runs on the event loops and does not
 * block them.
 */
public final class InferenceEndpoint implements BindableService {
  private static final String INFER_NAME = InferMethods.MODEL_INFER.getFullMethodName();

  private final Models models;
  private final InferTranslator translator;
  private final LayerForward forward;
  private final StreamLimits limits;
  private final OpenStreams streams = new OpenStreams();

  public InferenceEndpoint(Models models, LayerForward forward, StreamLimits limits) {
    this.models = models;
    this.translator = new InferTranslator(models, limits.defaultTimeout());
    this.forward = forward;
    this.limits = limits;
  }

  /** To be put before the service. */
  public static ServerInterceptor interceptor() {
    return new PeerAddress(
        GRPCInferenceServiceGrpc.getRepositoryModelLoadMethod(),
        GRPCInferenceServiceGrpc.getRepositoryModelUnloadMethod());
  }

  @Override
  public ServerServiceDefinition bindService() {
    ServiceDescriptor generated = GRPCInferenceServiceGrpc.getServiceDescriptor();
    ServiceDescriptor.Builder descriptor =
        ServiceDescriptor.newBuilder(generated.getName())
            .setSchemaDescriptor(generated.getSchemaDescriptor());
    for (MethodDescriptor<?, ?> method : generated.getMethods()) {
      descriptor.addMethod(ours(method));
    }
    ServerServiceDefinition.Builder service =
        ServerServiceDefinition.builder(descriptor.build())
            .addMethod(InferMethods.MODEL_INFER, ServerCalls.asyncUnaryCall(this::infer))
            .addMethod(
                InferMethods.MODEL_STREAM_INFER,
                ServerCalls.asyncBidiStreamingCall(this::inferStream));
    add(service, GRPCInferenceServiceGrpc.getServerLiveMethod(), request -> live());
    add(service, GRPCInferenceServiceGrpc.getServerReadyMethod(), request -> ready());
    add(service, GRPCInferenceServiceGrpc.getModelReadyMethod(), this::modelReady);
    add(service, GRPCInferenceServiceGrpc.getServerMetadataMethod(), request -> serverMetadata());
    add(service, GRPCInferenceServiceGrpc.getModelMetadataMethod(), this::modelMetadata);
    add(service, GRPCInferenceServiceGrpc.getModelStatisticsMethod(), this::modelStatistics);
    addLater(service, GRPCInferenceServiceGrpc.getRepositoryIndexMethod(), this::repositoryIndex);
    addLater(service, GRPCInferenceServiceGrpc.getRepositoryModelLoadMethod(), this::load);
    addLater(
        service,
        GRPCInferenceServiceGrpc.getRepositoryModelUnloadMethod(),
        request ->
            changes(request.getRepositoryName())
                .unload(request.getModelName())
                .thenApply(version -> RepositoryModelUnloadResponse.getDefaultInstance()));
    return service.build();
  }

  private static MethodDescriptor<?, ?> ours(MethodDescriptor<?, ?> generated) {
    String name = generated.getFullMethodName();
    if (name.equals(InferMethods.MODEL_INFER.getFullMethodName())) {
      return InferMethods.MODEL_INFER;
    }
    return name.equals(InferMethods.MODEL_STREAM_INFER.getFullMethodName())
        ? InferMethods.MODEL_STREAM_INFER
        : generated;
  }

  private static <Q, A> void add(
      ServerServiceDefinition.Builder service, MethodDescriptor<Q, A> method, Function<Q, A> does) {
    addLater(service, method, request -> CompletableFuture.completedFuture(does.apply(request)));
  }

  private static <Q, A> void addLater(
      ServerServiceDefinition.Builder service,
      MethodDescriptor<Q, A> method,
      Function<Q, CompletableFuture<A>> does) {
    service.addMethod(
        method,
        ServerCalls.asyncUnaryCall((request, responses) -> {
          CompletableFuture<A> answer;
          try {
            answer = does.apply(request);
          } catch (RuntimeException e) {
            responses.onError(Statuses.toCallFailure(e));
            return;
          }
          // Nobody waits for it: whatever happens is told to the caller.
          var _ =
              answer.whenComplete((response, failure) -> {
                if (failure != null) {
                  responses.onError(Statuses.toCallFailure(LayerChanges.cause(failure)));
                } else {
                  responses.onNext(response);
                  responses.onCompleted();
                }
              });
        }));
  }

  private void infer(
      InferMessage request, StreamObserver<TensorMessage<ModelInferResponse>> observer) {
    ServerCallStreamObserver<TensorMessage<ModelInferResponse>> responses =
        (ServerCallStreamObserver<TensorMessage<ModelInferResponse>>) observer;
    boolean raw = InferWire.isRaw(request);
    RequestTrace trace =
        forward.grpcTrace(INFER_NAME, TraceHeader.current(), request.header().getId());
    InferTranslator.Ready ready;
    try {
      ready =
          translator.ready(
              InferWire.read(request), TokenCheck.CALLER.get(), StreamLimits.callNanos(), trace);
    } catch (RuntimeException | OutOfMemoryError e) {
      forward.refused(e);
      trace.fail(e, () -> responses.onError(Statuses.toCallFailure(e)));
      return;
    }
    // Set before the start: an answer may come at once, and its stream must know who is gone.
    CancelSwitch cancel = new CancelSwitch();
    responses.setOnCancelHandler(cancel);
    cancel.set(
        forward.start(ready.job(), new UnaryAnswer(ready.question(), raw, trace, responses)));
  }

  private record UnaryAnswer(
      InferQuestion question,
      boolean raw,
      RequestTrace trace,
      StreamObserver<TensorMessage<ModelInferResponse>> responses)
      implements ForwardListener {
    @Override
    public void succeeded(ForwardResult result) {
      TensorMessage<ModelInferResponse> response;
      try {
        response = InferWire.write(question.answer(result), raw);
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

  private StreamObserver<InferMessage> inferStream(
      StreamObserver<TensorMessage<ModelStreamInferResponse>> responses) {
    return new InferStream(
        translator,
        forward,
        TokenCheck.CALLER.get(),
        limits,
        (ServerCallStreamObserver<TensorMessage<ModelStreamInferResponse>>) responses,
        streams);
  }

  /** Lets every stream end once what it has asked for is answered. */
  public void drain() {
    streams.drain();
  }

  private static ServerLiveResponse live() {
    return ServerLiveResponse.newBuilder().setLive(true).build();
  }

  private ServerReadyResponse ready() {
    return ServerReadyResponse.newBuilder().setReady(models.ready()).build();
  }

  /** A model that is not there is not ready either; it may be loaded later. */
  private ModelReadyResponse modelReady(ModelReadyRequest request) {
    return ModelReadyResponse.newBuilder()
        .setReady(
            models
                .find(request.getName(), request.getVersion())
                .filter(Models.Model::ready)
                .isPresent())
        .build();
  }

  private static ServerMetadataResponse serverMetadata() {
    return ServerMetadataResponse.newBuilder()
        .setName(ServerInfo.NAME)
        .setVersion(ServerInfo.VERSION)
        .addAllExtensions(ServerInfo.EXTENSIONS)
        .build();
  }

  private ModelMetadataResponse modelMetadata(ModelMetadataRequest request) {
    return ModelsWire.metadata(models.model(request.getName(), request.getVersion()));
  }

  private ModelStatisticsResponse modelStatistics(ModelStatisticsRequest request) {
    List<Models.Model> asked =
        request.getName().isEmpty()
            ? models.all()
            : List.of(models.model(request.getName(), request.getVersion()));
    return ModelsWire.statistics(models, asked);
  }

  private CompletableFuture<RepositoryIndexResponse> repositoryIndex(
      RepositoryIndexRequest request) {
    checkRepository(request.getRepositoryName());
    return models.index(request.getReady()).thenApply(ModelsWire::index);
  }

  private CompletableFuture<RepositoryModelLoadResponse> load(RepositoryModelLoadRequest request) {
    LayerChanges changes = changes(request.getRepositoryName());
    InferParameters.checkLoad(request.getParametersMap().keySet());
    return changes
        .load(request.getModelName())
        .thenApply(version -> RepositoryModelLoadResponse.getDefaultInstance());
  }

  private LayerChanges changes(String repository) {
    checkRepository(repository);
    return models.changes(PeerAddress.current());
  }

  private static void checkRepository(String name) {
    if (!name.isEmpty()) {
      throw new GuildhallException(
          ErrorCode.NOT_FOUND,
          "repository_name is \"%s\"; allowed is none: a router has one".formatted(name));
    }
  }
}
