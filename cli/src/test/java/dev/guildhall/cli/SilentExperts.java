package dev.guildhall.cli;

import dev.guildhall.proto.DescribeRequest;
import dev.guildhall.proto.DescribeResponse;
import dev.guildhall.proto.ExchangeRequest;
import dev.guildhall.proto.ExchangeResponse;
import dev.guildhall.proto.ExpertServiceGrpc;
import dev.guildhall.proto.HostedLayer;
import dev.guildhall.rpc.Transport;
import io.grpc.Server;
import io.grpc.stub.StreamObserver;
import java.io.IOException;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.function.Function;
import java.util.stream.IntStream;

/**
 * An expert service that hosts a layer, or some of its experts, and answers no batch before it is
 * told to.
 */
final class SilentExperts extends ExpertServiceGrpc.ExpertServiceImplBase implements AutoCloseable {
  private final DescribeResponse description;
  private final Recorded<ExchangeRequest> received = new Recorded<>();
  private final BlockingQueue<Held> answers = new LinkedBlockingQueue<>();
  private final Server server;

  SilentExperts(Transport transport, String layer, int hiddenSize, int experts) throws IOException {
    this(transport, layer, hiddenSize, experts, IntStream.range(0, experts).boxed().toList());
  }

  SilentExperts(
      Transport transport, String layer, int hiddenSize, int experts, List<Integer> hosted)
      throws IOException {
    description =
        DescribeResponse.newBuilder()
            .setDevice("cpu")
            .addLayers(
                HostedLayer.newBuilder()
                    .setName(layer)
                    .setHiddenSize(hiddenSize)
                    .setNumExperts(experts)
                    .addAllExperts(hosted))
            .build();
    server = transport.server(0).addService(this).build().start();
  }

  String target() {
    return "localhost:" + server.getPort();
  }

  /** What routers sent so far. */
  List<ExchangeRequest> received() {
    return received.soFar();
  }

  /** Answers each batch received so far with its own rows. */
  void answerAll() {
    answerAll(ExchangeResponse.Builder::build);
  }

  /** Answers each batch received so far with what becomes of its own rows. */
  void answerAll(Function<ExchangeResponse.Builder, ExchangeResponse> answer) {
    for (Held held = answers.poll(); held != null; held = answers.poll()) {
      held.responses.onNext(answer.apply(echo(held.request)));
    }
  }

  private record Held(ExchangeRequest request, StreamObserver<ExchangeResponse> responses) {}

  @Override
  public void describe(DescribeRequest request, StreamObserver<DescribeResponse> responses) {
    responses.onNext(description);
    responses.onCompleted();
  }

  @Override
  public StreamObserver<ExchangeRequest> exchange(StreamObserver<ExchangeResponse> responses) {
    return new StreamObserver<>() {
      @Override
      public void onNext(ExchangeRequest request) {
        answers.add(new Held(request, responses));
        received.onNext(request);
      }

      @Override
      public void onError(Throwable failure) {
        // The router went away.
      }

      @Override
      public void onCompleted() {
        responses.onCompleted();
      }
    };
  }

  private static ExchangeResponse.Builder echo(ExchangeRequest request) {
    return ExchangeResponse.newBuilder()
        .setBatchId(request.getBatchId())
        .setDtype(request.getDtype())
        .setRows(request.getRows());
  }

  @Override
  public void close() {
    server.shutdownNow();
  }
}
