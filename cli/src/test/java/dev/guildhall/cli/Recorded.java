package dev.guildhall.cli;

import io.grpc.stub.StreamObserver;
import java.util.List;
import java.util.Queue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.TimeUnit;

/** Keeps what a stream brings. */
class Recorded<T> implements StreamObserver<T> {
  private final Queue<T> values = new ConcurrentLinkedQueue<>();
  private final CompletableFuture<Void> end = new CompletableFuture<>();

  @Override
  public void onNext(T value) {
    values.add(value);
  }

  @Override
  public void onError(Throwable failure) {
    end.completeExceptionally(failure);
  }

  @Override
  public void onCompleted() {
    end.complete(null);
  }

  boolean isOver() {
    return end.isDone();
  }

  /** What came so far. */
  List<T> soFar() {
    return List.copyOf(values);
  }

  /** Everything, once the stream has ended well. */
  List<T> all() throws Exception {
    end.get(30, TimeUnit.SECONDS);
    return soFar();
  }

  /** Waits until so many came. */
  List<T> first(int count) {
    Await.until(count + " answers", () -> values.size() >= count);
    return soFar();
  }
}
