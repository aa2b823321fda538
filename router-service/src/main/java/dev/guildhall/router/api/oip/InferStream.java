package dev.guildhall.router.api.oip;

import dev.guildhall.error.ErrorCode;
import dev.guildhall.error.GuildhallException;
import dev.guildhall.proto.inference.ModelInferRequest;
import dev.guildhall.proto.inference.ModelInferResponse;
import dev.guildhall.proto.inference.ModelStreamInferResponse;
import dev.guildhall.router.admission.Caller;
import dev.guildhall.router.api.CancelSwitch;
import dev.guildhall.router.api.StreamLimits;
import dev.guildhall.router.api.TraceHeader;
import dev.guildhall.router.forward.ForwardListener;
import dev.guildhall.router.forward.ForwardResult;
import dev.guildhall.router.forward.LayerForward;
import dev.guildhall.rpc.InboundWindow;
import dev.guildhall.rpc.InferMessage;
import dev.guildhall.rpc.InferMethods;
import dev.guildhall.rpc.Statuses;
import dev.guildhall.rpc.TensorMessage;
import dev.guildhall.rpc.TensorWriter;
import dev.guildhall.tracing.RequestTrace;
import dev.guildhall.tracing.TraceContext;
import io.grpc.Status;
import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.StreamObserver;
import io.netty.buffer.Unpooled;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.Map;
import java.util.OptionalLong;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * One {@code ModelStreamInfer} call: requests start as they come and are answered in their order,
 * since clients of this protocol need not give them ids.
 *
 * <p>Requests come on the stream's event loop; answers come on any thread. No more than {@link
 * #MAX_IN_FLIGHT} requests, or {@link #MAX_IN_FLIGHT_BYTES}, are read before the answers to earlier
 * ones are taken; an answer is about as large as its request and counts as that. When the router
 * drains, or the stream is old, what was taken is answered and the stream ends.
 */
final class InferStream implements StreamObserver<InferMessage> {
  private static final String NAME = InferMethods.MODEL_STREAM_INFER.getFullMethodName();

  private static final int MAX_IN_FLIGHT = 256;
  private static final long MAX_IN_FLIGHT_BYTES = 64 << 20;

  private final InferTranslator translator;
  private final LayerForward forward;
  private final Caller caller;
  private final TraceContext callSpan = TraceHeader.current();
  private final Future<?> ageLimit;
  private final InboundWindow window;
  private final TensorWriter<ModelStreamInferResponse> writer;
  private final Map<Object, Runnable> cancels = new ConcurrentHashMap<>();

  /** Those that are not written yet, in the order of their requests; guarded by its own lock. */
  private final Deque<Answer> answers = new ArrayDeque<>();

  /** The sizes of the requests whose answers the writer has. */
  private final ConcurrentLinkedQueue<Integer> writing = new ConcurrentLinkedQueue<>();

  /** Requests not yet answered, and one as long as new ones are taken. */
  private final AtomicInteger open = new AtomicInteger(1);

  private final AtomicBoolean lastTaken = new AtomicBoolean();

  InferStream(
      InferTranslator translator,
      LayerForward forward,
      Caller caller,
      StreamLimits limits,
      ServerCallStreamObserver<TensorMessage<ModelStreamInferResponse>> responses,
      Consumer<InferStream> onEnd) {
    this.translator = translator;
    this.forward = forward;
    this.caller = caller;
    this.ageLimit = limits.atMaxAge(this::drain);
    this.window = new InboundWindow(responses, MAX_IN_FLIGHT, MAX_IN_FLIGHT_BYTES);
    this.writer = new TensorWriter<>(responses, payloadBytes -> taken());
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
  public void onNext(InferMessage request) {
    open.incrementAndGet();
    RequestTrace trace = forward.trace(NAME, callSpan, request.header().getId());
    trace.span().grpc(NAME);
    Answer answer = new Answer(request, trace);
    window.arrived(answer.requestBytes);
    synchronized (answers) {
      answers.add(answer);
    }
    if (lastTaken.get()) {
      request.close();
      answer.failed(
          new GuildhallException(
              ErrorCode.UNAVAILABLE, "this stream takes no more requests; open another one"));
      return;
    }
    InferTranslator.Ready ready;
    try {
      // The end of the stream's own time, if it has one, ends the stream and all that is in it.
      ready = translator.ready(InferWire.read(request), caller, OptionalLong.empty(), trace);
    } catch (RuntimeException | OutOfMemoryError e) {
      answer.failed(e);
      return;
    }
    answer.question = ready.question();
    CancelSwitch cancel = new CancelSwitch();
    cancels.put(answer, cancel);
    cancel.set(forward.start(ready.job(), answer));
  }

  private void taken() {
    Integer bytes = writing.poll();
    window.taken(bytes == null ? 0 : bytes);
  }

  /** Gives the writer what is answered, up to the first request that is not. */
  private void writeAnswered() {
    int given = 0;
    synchronized (answers) {
      for (Answer next = answers.peek(); next != null; next = answers.peek()) {
        TensorMessage<ModelStreamInferResponse> response = next.response;
        if (response == null) {
          break;
        }
        answers.remove();
        writing.add(next.requestBytes);
        writer.add(response);
        given++;
      }
    }
    writer.drain();
    closeSome(given);
  }

  private void closeSome(int answered) {
    if (answered > 0 && open.addAndGet(-answered) == 0) {
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
      closeSome(1);
    }
  }

  private final class Answer implements ForwardListener {
    private final ModelInferRequest request;
    private final boolean raw;
    private final int requestBytes;
    private final RequestTrace trace;
    private @Nullable InferQuestion question;

    /** Guarded by the lock of {@link #answers}. */
    private @Nullable TensorMessage<ModelStreamInferResponse> response;

    Answer(InferMessage message, RequestTrace trace) {
      this.trace = trace;
      // Without the tensors, which it may have in its header.
      this.request =
          ModelInferRequest.newBuilder()
              .setModelName(message.header().getModelName())
              .setId(message.header().getId())
              .build();
      this.raw = InferWire.isRaw(message);
      this.requestBytes = message.rawBytes() + message.header().getSerializedSize();
    }

    @Override
    public void succeeded(ForwardResult result) {
      TensorMessage<ModelInferResponse> answer;
      try {
        InferQuestion asked = question;
        if (asked == null) {
          throw new IllegalStateException("answered before it was asked");
        }
        answer = InferWire.write(asked.answer(result), raw);
      } catch (RuntimeException | OutOfMemoryError e) {
        failed(e);
        return;
      }
      trace.span().end();
      answered(
          new TensorMessage<>(
              ModelStreamInferResponse.newBuilder().setInferResponse(answer.header()).build(),
              answer.takePayload()));
    }

    @Override
    public void failed(Throwable failure) {
      trace.fail(failure, () -> refused(failure));
    }

    private void refused(Throwable failure) {
      Status status = Statuses.toStatus(failure);
      String message = String.valueOf(status.getDescription());
      ModelInferResponse.Builder response =
          ModelInferResponse.newBuilder()
              .setModelName(request.getModelName())
              .setId(request.getId())
              // The protocol has a text only, and a client may want to know what to do.
              .putParameters("status", InferWire.parameter(status.getCode().name()));
      answered(
          new TensorMessage<>(
              ModelStreamInferResponse.newBuilder()
                  .setErrorMessage(message.isEmpty() ? status.getCode().name() : message)
                  .setInferResponse(response)
                  .build(),
              Unpooled.EMPTY_BUFFER));
    }

    private void answered(TensorMessage<ModelStreamInferResponse> message) {
      cancels.remove(this);
      synchronized (answers) {
        response = message;
      }
      writeAnswered();
    }
  }
}
