package dev.guildhall.router.api;

import dev.guildhall.proto.ForwardRequest;
import dev.guildhall.proto.ForwardResponse;
import dev.guildhall.router.admission.Caller;
import dev.guildhall.router.forward.ForwardListener;
import dev.guildhall.router.forward.ForwardResult;
import dev.guildhall.router.forward.LayerForward;
import dev.guildhall.rpc.Statuses;
import dev.guildhall.rpc.TensorMessage;
import dev.guildhall.rpc.TensorMethods;
import dev.guildhall.tracing.RequestTrace;
import dev.guildhall.tracing.TraceContext;
import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.StreamObserver;
import io.netty.buffer.Unpooled;
import java.time.Duration;

/**
 * One {@code ForwardStream} call: requests start as they come and are answered as they finish.
 *
 * <p>Requests come on the stream's event loop; answers come on any thread.
 */
final class ForwardStream implements StreamObserver<TensorMessage<ForwardRequest>> {
  private static final String NAME = TensorMethods.FORWARD_STREAM.getFullMethodName();

  private final ForwardTranslator translator;
  private final LayerForward forward;
  private final Caller caller;
  private final Duration defaultTimeout;
  private final TraceContext callSpan = TraceHeader.current();
  private final RequestStream<ForwardResponse> stream;

  ForwardStream(
      ForwardTranslator translator,
      LayerForward forward,
      Caller caller,
      StreamLimits limits,
      ServerCallStreamObserver<TensorMessage<ForwardResponse>> responses,
      OpenStreams streams) {
    this.translator = translator;
    this.forward = forward;
    this.caller = caller;
    this.defaultTimeout = limits.defaultTimeout();
    this.stream = new RequestStream<>(responses, limits, this::taken, streams);
  }

  private void taken(int answerBytes) {
    stream.window().taken(answerBytes);
  }

  @Override
  public void onNext(TensorMessage<ForwardRequest> request) {
    int bytes = request.payload().readableBytes();
    stream.arrived(bytes);
    ForwardRequest header = request.header();
    long timeoutNanos =
        header.getTimeoutMs() == 0
            ? defaultTimeout.toNanos()
            : Duration.ofMillis(Integer.toUnsignedLong(header.getTimeoutMs())).toNanos();
    RequestTrace trace = trace(header);
    Answer answer = new Answer(header, bytes, trace);
    if (stream.takesNoMore()) {
      request.close();
      answer.failed(RequestStream.tooLate());
      return;
    }
    stream.start(
        answer,
        () ->
            forward.start(
                () -> translator.toJob(request, caller, System.nanoTime() + timeoutNanos, trace),
                answer));
  }

  private RequestTrace trace(ForwardRequest request) {
    TraceContext span =
        request.getTraceparent().isEmpty()
            ? callSpan
            : new TraceContext(request.getTraceparent(), request.getTracestate());
    return forward.grpcTrace(NAME, span, ForwardTranslator.id(request));
  }

  @Override
  public void onError(Throwable failure) {
    stream.cancel();
  }

  @Override
  public void onCompleted() {
    stream.drain();
  }

  private final class Answer implements ForwardListener {
    private final ForwardRequest request;
    private final int requestBytes;
    private final RequestTrace trace;

    Answer(ForwardRequest request, int requestBytes, RequestTrace trace) {
      this.request = request;
      this.requestBytes = requestBytes;
      this.trace = trace;
    }

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
      answered(response);
    }

    @Override
    public void failed(Throwable failure) {
      trace.fail(failure, () -> refused(failure));
    }

    private void refused(Throwable failure) {
      ForwardResponse response =
          ForwardResponse.newBuilder()
              .setId(request.getId())
              .setError(Statuses.toError(failure))
              .build();
      answered(new TensorMessage<>(response, Unpooled.EMPTY_BUFFER));
    }

    private void answered(TensorMessage<ForwardResponse> response) {
      stream.forget(this);
      stream.window().answered(requestBytes, response.payload().readableBytes());
      stream.writer().write(response);
      stream.answered(1);
    }
  }
}
