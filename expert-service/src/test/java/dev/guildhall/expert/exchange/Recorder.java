package dev.guildhall.expert.exchange;

import io.grpc.stub.StreamObserver;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

/** What a stream brought. */
final class Recorder<T> implements StreamObserver<T> {
  private final BlockingQueue<T> received = new LinkedBlockingQueue<>();
  private final CompletableFuture<Void> end = new CompletableFuture<>();

  @Override
  public void onNext(T response) {
    received.add(response);
  }

  @Override
  public void onError(Throwable failure) {
    end.completeExceptionally(failure);
  }

  @Override
  public void onCompleted() {
    end.complete(null);
  }

  T next() throws InterruptedException {
    T response = received.poll(30, TimeUnit.SECONDS);
    if (response == null) {
      throw new AssertionError("no answer within 30 s");
    }
    return response;
  }

  void awaitEnd() throws Exception {
    end.get(30, TimeUnit.SECONDS);
  }
}
