package dev.guildhall.client;

import dev.guildhall.proto.ForwardRequest;
import dev.guildhall.proto.ForwardResponse;
import dev.guildhall.proto.MoeLayerServiceGrpc;
import io.grpc.Context;
import io.grpc.Contexts;
import io.grpc.Grpc;
import io.grpc.InsecureServerCredentials;
import io.grpc.Metadata;
import io.grpc.Server;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;
import io.grpc.ServerInterceptor;
import io.grpc.stub.StreamObserver;
import java.io.IOException;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.function.BiConsumer;
import org.jspecify.annotations.Nullable;

/** A router on a real port that does with each request what a test says. */
final class ScriptedRouter implements AutoCloseable {
  static final Context.Key<String> TOKEN = Context.key("token");
  private static final Metadata.Key<String> AUTHORIZATION =
      Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);

  private final Server server;
  private final Queue<ForwardRequest> received = new ConcurrentLinkedQueue<>();

  private volatile BiConsumer<ForwardRequest, StreamObserver<ForwardResponse>> script =
      (request, answer) -> {};

  ScriptedRouter() throws IOException {
    server =
        Grpc.newServerBuilderForPort(0, InsecureServerCredentials.create())
            .intercept(new TokenReader())
            .addService(
                new MoeLayerServiceGrpc.MoeLayerServiceImplBase() {
                  @Override
                  public void forward(
                      ForwardRequest request, StreamObserver<ForwardResponse> answer) {
                    received(request, answer);
                  }

                  @Override
                  public StreamObserver<ForwardRequest> forwardStream(
                      StreamObserver<ForwardResponse> answers) {
                    return new StreamObserver<>() {
                      @Override
                      public void onNext(ForwardRequest request) {
                        received(request, answers);
                      }

                      @Override
                      public void onError(Throwable failure) {
                        // The client has cancelled.
                      }

                      @Override
                      public void onCompleted() {
                        // The client follows an end of this side.
                      }
                    };
                  }
                })
            .build()
            .start();
  }

  /** Answers, fails or ends the observer of a call or stream from now on; does nothing at first. */
  void script(BiConsumer<ForwardRequest, StreamObserver<ForwardResponse>> next) {
    script = next;
  }

  private void received(ForwardRequest request, StreamObserver<ForwardResponse> answers) {
    received.add(request);
    script.accept(request, answers);
  }

  /** The answer whose output is the request's hidden states. */
  static ForwardResponse echo(ForwardRequest request) {
    return ForwardResponse.newBuilder()
        .setId(request.getId())
        .addAllShape(request.getShapeList())
        .setOutput(request.getHiddenStates())
        .build();
  }

  RouterConnection connection() {
    return RouterConnection.to("localhost:" + server.getPort());
  }

  Queue<ForwardRequest> received() {
    return received;
  }

  @Override
  public void close() {
    server.shutdownNow();
  }

  private static final class TokenReader implements ServerInterceptor {
    @Override
    public <Q, A> ServerCall.Listener<Q> interceptCall(
        ServerCall<Q, A> call, Metadata headers, ServerCallHandler<Q, A> next) {
      @Nullable String token = headers.get(AUTHORIZATION);
      return Contexts.interceptCall(
          Context.current().withValue(TOKEN, String.valueOf(token)), call, headers, next);
    }
  }
}
