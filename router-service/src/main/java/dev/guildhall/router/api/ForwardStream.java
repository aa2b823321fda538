package dev.guildhall.router.api;

import dev.guildhall.error.ErrorCode;
import dev.guildhall.error.GuildhallException;
import dev.guildhall.proto.ForwardRequest;
import dev.guildhall.proto.ForwardResponse;
import dev.guildhall.router.admission.Caller;
import dev.guildhall.router.forward.ForwardJob;
import dev.guildhall.router.forward.ForwardListener;
import dev.guildhall.router.forward.ForwardResult;
import dev.guildhall.router.forward.LayerForward;
import dev.guildhall.rpc.InboundWindow;
import dev.guildhall.rpc.Statuses;
import dev.guildhall.rpc.TensorMessage;
import dev.guildhall.rpc.TensorMethods;
import dev.guildhall.rpc.TensorWriter;
import dev.guildhall.tracing.RequestTrace;
import dev.guildhall.tracing.TraceContext;
import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.StreamObserver;
import io.netty.buffer.Unpooled;
import java.time.Duration;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Consumer;

/**
 * One {@code ForwardStream} call: requests start as they come and are answered as they finish.
 *
 * <p>Requests come on the stream's event loop; answers come on any thread. No more than {@link
 * #MAX_IN_FLIGHT} requests, or {@link #MAX_IN_FLIGHT_BYTES}, are read before the answers to earlier
 * ones are taken. When the router drains, or the stream is old, requests in progress are answered
 * and the stream ends; what comes later is refused.
 */
final class ForwardStream implements StreamObserver<TensorMessage<ForwardRequest>> {
  private static final String NAME = TensorMethods.FORWARD_STREAM.getFullMethodName();

  private static final int MAX_IN_FLIGHT = 256;

  /** A few large requests, or all the small ones. */
  private static final long MAX_IN_FLIGHT_BYTES = 64 << 20;

  private final ForwardTranslator translator;
  private final LayerForward forward;
  private final Caller caller;
  private final Duration defaultTimeout;
  private final TraceContext callSpan = TraceHeader.current();
  private final Future<?> ageLimit;
  private final InboundWindow window;
  private final TensorWriter<ForwardResponse> writer;
  private final Map<Object, Runnable> cancels = new ConcurrentHashMap<>();

  /** Requests not yet answered, and one as long as new ones are taken. */
  private final AtomicInteger open = new AtomicInteger(1);

  /** The caller has closed its half, or the router drains. */
  private final AtomicBoolean lastTaken = new AtomicBoolean();

  ForwardStream(
      ForwardTranslator translator,
      LayerForward forward,
      Caller caller,
      StreamLimits limits,
      ServerCallStreamObserver<TensorMessage<ForwardResponse>> responses,
      Consumer<ForwardStream> onEnd) {
    this.translator = translator;
    this.forward = forward;
    this.caller = caller;
    this.defaultTimeout = limits.defaultTimeout();
    this.ageLimit = limits.atMaxAge(this::drain);
    this.window = new InboundWindow(responses, MAX_IN_FLIGHT, MAX_IN_FLIGHT_BYTES);
    this.writer = new TensorWriter<>(responses, window::taken);
    responses.disableAutoRequest();
    responses.setOnReadyHandler(writer::drain);
    Runnable end =
        () -> {
          ageLimit.cancel(false);
          onEnd.accept(this);
          cancelled();
        };
    responses.setOnCancelHandler(end);
    // gRPC itself closes a stream that brings what cannot be parsed, without a cancel.
    responses.setOnCloseHandler(end);
    window.open();
  }

  @Override
  public void onNext(TensorMessage<ForwardRequest> request) {
    open.incrementAndGet();
    int bytes = request.payload().readableBytes();
    window.arrived(bytes);
    ForwardRequest header = request.header();
    long timeoutNanos =
        header.getTimeoutMs() == 0
            ? defaultTimeout.toNanos()
            : Duration.ofMillis(Integer.toUnsignedLong(header.getTimeoutMs())).toNanos();
    RequestTrace trace = trace(header);
    Answer answer = new Answer(header, bytes, trace);
    if (lastTaken.get()) {
      request.close();
      answer.failed(
          new GuildhallException(
              ErrorCode.UNAVAILABLE, "this stream takes no more requests; open another one"));
      return;
    }
    ForwardJob job;
    try {
      job = translator.toJob(request, caller, System.nanoTime() + timeoutNanos, trace);
    } catch (RuntimeException | OutOfMemoryError e) {
      answer.failed(e);
      return;
    }
    CancelSwitch cancel = new CancelSwitch();
    cancels.put(answer, cancel);
    cancel.set(forward.start(job, answer));
  }

  private RequestTrace trace(ForwardRequest request) {
    TraceContext span =
        request.getTraceparent().isEmpty()
            ? callSpan
            : new TraceContext(request.getTraceparent(), request.getTracestate());
    RequestTrace trace = forward.trace(NAME, span, ForwardTranslator.id(request));
    trace.span().grpc(NAME);
    return trace;
  }

  private void closeOne() {
    if (open.decrementAndGet() == 0) {
      writer.complete();
    }
  }

  private void cancelled() {
    writer.close();
    cancels.values().forEach(Runnable::run);
  }

  @Override
  public void onError(Throwable failure) {
    cancelled();
  }

  @Override
  public void onCompleted() {
    drain();
  }

  /** Takes no more requests; the stream ends when those it has are answered. */
  void drain() {
    if (!lastTaken.getAndSet(true)) {
      closeOne();
    }
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
      cancels.remove(this);
      window.answered(requestBytes, response.payload().readableBytes());
      writer.write(response);
      closeOne();
    }
  }
}
