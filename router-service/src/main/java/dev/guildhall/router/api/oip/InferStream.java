package dev.guildhall.router.api.oip;

import dev.guildhall.proto.inference.ModelInferRequest;
import dev.guildhall.proto.inference.ModelInferResponse;
import dev.guildhall.proto.inference.ModelStreamInferResponse;
import dev.guildhall.router.admission.Caller;
import dev.guildhall.router.api.OpenStreams;
import dev.guildhall.router.api.RequestStream;
import dev.guildhall.router.api.StreamLimits;
import dev.guildhall.router.api.TraceHeader;
import dev.guildhall.router.forward.ForwardJob;
import dev.guildhall.router.forward.ForwardListener;
import dev.guildhall.router.forward.ForwardResult;
import dev.guildhall.router.forward.LayerForward;
import dev.guildhall.rpc.InferMessage;
import dev.guildhall.rpc.InferMethods;
import dev.guildhall.rpc.Statuses;
import dev.guildhall.rpc.TensorMessage;
import dev.guildhall.tracing.RequestTrace;
import dev.guildhall.tracing.TraceContext;
import io.grpc.Status;
import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.StreamObserver;
import io.netty.buffer.Unpooled;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.OptionalLong;
import java.util.concurrent.ConcurrentLinkedQueue;
import org.jspecify.annotations.Nullable;

/**
 * One {@code ModelStreamInfer} call: requests start as they come and are answered in their order,
 * since clients of this protocol need not give them ids.
 *
 * <p>Requests come on the stream's event loop; answers come on any thread. An answer is about as
 * large as its request and counts as that in what may be in flight.
 */
final class InferStream implements StreamObserver<InferMessage> {
  private static final String NAME = InferMethods.MODEL_STREAM_INFER.getFullMethodName();

  private final InferTranslator translator;
  private final LayerForward forward;
  private final Caller caller;
  private final TraceContext callSpan = TraceHeader.current();
  private final RequestStream<ModelStreamInferResponse> stream;

  /** Those that are not written yet, in the order of their requests; guarded by its own lock. */
  private final Deque<Answer> answers = new ArrayDeque<>();

  /** The sizes of the requests whose answers the writer has. */
  private final ConcurrentLinkedQueue<Integer> writing = new ConcurrentLinkedQueue<>();

  InferStream(
      InferTranslator translator,
      LayerForward forward,
      Caller caller,
      StreamLimits limits,
      ServerCallStreamObserver<TensorMessage<ModelStreamInferResponse>> responses,
      OpenStreams streams) {
    this.translator = translator;
    this.forward = forward;
    this.caller = caller;
    this.stream = new RequestStream<>(responses, limits, payloadBytes -> taken(), streams);
  }

  @Override
  public void onNext(InferMessage request) {
    RequestTrace trace = forward.grpcTrace(NAME, callSpan, request.header().getId());
    Answer answer = new Answer(request, trace);
    stream.arrived(answer.requestBytes);
    synchronized (answers) {
      answers.add(answer);
    }
    if (stream.takesNoMore()) {
      request.close();
      answer.failed(RequestStream.tooLate());
      return;
    }
    stream.start(answer, () -> forward.start(() -> job(request, answer), answer));
  }

  private ForwardJob job(InferMessage request, Answer answer) {
    // The end of the stream's own time, if it has one, ends the stream and all that is in it.
    InferTranslator.Ready ready =
        translator.ready(InferWire.read(request), caller, OptionalLong.empty(), answer.trace);
    answer.question = ready.question();
    return ready.job();
  }

  private void taken() {
    Integer bytes = writing.poll();
    stream.window().taken(bytes == null ? 0 : bytes);
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
        stream.writer().add(response);
        given++;
      }
    }
    stream.writer().drain();
    stream.answered(given);
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
      stream.forget(this);
      synchronized (answers) {
        response = message;
      }
      writeAnswered();
    }
  }
}
