package dev.guildhall.router.api;

import dev.guildhall.proto.ForwardRequest;
import dev.guildhall.proto.ForwardResponse;
import dev.guildhall.router.forward.ForwardJob;
import dev.guildhall.router.forward.ForwardListener;
import dev.guildhall.router.forward.ForwardResult;
import dev.guildhall.router.forward.LayerForward;
import dev.guildhall.rpc.Statuses;
import dev.guildhall.rpc.TensorMessage;
import dev.guildhall.rpc.TensorWriter;
import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.StreamObserver;
import io.netty.buffer.Unpooled;
import java.time.Duration;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * One {@code ForwardStream} call: requests start as they come and are answered as they finish.
 *
 * <p>Requests come on the stream's event loop; answers come on any thread. No more than {@link
 * #MAX_IN_FLIGHT} requests are read before the answers to earlier ones are taken.
 */
final class ForwardStream implements StreamObserver<TensorMessage<ForwardRequest>> {
  private static final int MAX_IN_FLIGHT = 256;

  private final ForwardTranslator translator;
  private final LayerForward forward;
  private final Duration defaultTimeout;
  private final TensorWriter<ForwardResponse> writer;
  private final Map<Object, Runnable> cancels = new ConcurrentHashMap<>();

  /** Requests not yet answered, and one for the caller's half until it is closed. */
  private final AtomicInteger open = new AtomicInteger(1);

  ForwardStream(
      ForwardTranslator translator,
      LayerForward forward,
      Duration defaultTimeout,
      ServerCallStreamObserver<TensorMessage<ForwardResponse>> responses) {
    this.translator = translator;
    this.forward = forward;
    this.defaultTimeout = defaultTimeout;
    this.writer = new TensorWriter<>(responses, () -> responses.request(1));
    responses.disableAutoRequest();
    responses.setOnReadyHandler(writer::drain);
    responses.setOnCancelHandler(this::cancelled);
    responses.request(MAX_IN_FLIGHT);
  }

  @Override
  public void onNext(TensorMessage<ForwardRequest> request) {
    open.incrementAndGet();
    ForwardRequest header = request.header();
    long timeoutNanos =
        header.getTimeoutMs() == 0
            ? defaultTimeout.toNanos()
            : Duration.ofMillis(Integer.toUnsignedLong(header.getTimeoutMs())).toNanos();
    Answer answer = new Answer(header);
    ForwardJob job;
    try {
      job = translator.toJob(request, System.nanoTime() + timeoutNanos);
    } catch (RuntimeException | OutOfMemoryError e) {
      answer.failed(e);
      return;
    }
    CancelSwitch cancel = new CancelSwitch();
    cancels.put(answer, cancel);
    cancel.set(forward.start(job, answer));
  }

  private void answered(TensorMessage<ForwardResponse> response) {
    writer.write(response);
    closeOne();
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
    closeOne();
  }

  private final class Answer implements ForwardListener {
    private final ForwardRequest request;

    Answer(ForwardRequest request) {
      this.request = request;
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
      cancels.remove(this);
      answered(response);
    }

    @Override
    public void failed(Throwable failure) {
      cancels.remove(this);
      ForwardResponse response =
          ForwardResponse.newBuilder()
              .setId(request.getId())
              .setError(Statuses.toError(failure))
              .build();
      answered(new TensorMessage<>(response, Unpooled.EMPTY_BUFFER));
    }
  }
}
