package dev.guildhall.rpc;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.guildhall.proto.ExchangeResponse;
import io.grpc.stub.CallStreamObserver;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

class TensorWriterTest {
  private final FakeStream stream = new FakeStream();
  private final AtomicInteger written = new AtomicInteger();
  private final TensorWriter<ExchangeResponse> writer =
      new TensorWriter<>(stream, bytes -> written.incrementAndGet());

  @AfterEach
  void close() {
    writer.close();
  }

  @Test
  void holdsMessagesBackUntilTheStreamIsReadyAndKeepsTheirOrder() {
    stream.ready = false;
    TensorMessage<ExchangeResponse> first = message(1);
    writer.write(first);
    writer.write(message(2));
    assertEquals(List.of(), stream.written);
    assertEquals(0, written.get());
    assertEquals(1, first.payload().refCnt());

    stream.ready = true;
    writer.drain();
    assertEquals(List.of(1L, 2L), stream.written);
    assertEquals(2, written.get());
    assertEquals(0, first.payload().refCnt());
  }

  @Test
  void stopsInTheMiddleWhenTheStreamIsFull() {
    stream.ready = false;
    writer.write(message(1));
    writer.write(message(2));
    stream.onWrite = () -> stream.ready = false;
    stream.ready = true;
    writer.drain();
    assertEquals(List.of(1L), stream.written);
  }

  @Test
  void completesAfterWhatWaits() {
    stream.ready = false;
    writer.write(message(1));
    writer.complete();
    assertFalse(stream.completed);

    stream.ready = true;
    writer.drain();
    assertEquals(List.of(1L), stream.written);
    assertTrue(stream.completed);
  }

  @Test
  void dropsAndReleasesWhatComesAfterItsEnd() {
    writer.complete();
    TensorMessage<ExchangeResponse> late = message(1);
    writer.write(late);
    assertEquals(List.of(), stream.written);
    assertEquals(0, late.payload().refCnt());
  }

  @Test
  void releasesWhatWaitsWhenItIsClosed() {
    stream.ready = false;
    TensorMessage<ExchangeResponse> waiting = message(1);
    writer.write(waiting);
    writer.close();
    stream.ready = true;
    writer.drain();
    assertEquals(0, waiting.payload().refCnt());
    assertEquals(List.of(), stream.written);
    assertFalse(stream.completed);
  }

  @Test
  void releasesAMessageThatTheStreamRefuses() {
    stream.onWrite =
        () -> {
          throw new IllegalStateException("call was cancelled");
        };
    TensorMessage<ExchangeResponse> refused = message(1);
    writer.write(refused);
    assertEquals(0, refused.payload().refCnt());
    TensorMessage<ExchangeResponse> late = message(2);
    writer.write(late);
    assertEquals(0, late.payload().refCnt());
  }

  @Test
  void takesBackWhatStillWaits() {
    stream.ready = false;
    TensorMessage<ExchangeResponse> waiting = message(1);
    writer.write(waiting);
    writer.write(message(2));
    assertTrue(writer.withdraw(header -> header.getBatchId() == 1));
    assertEquals(0, waiting.payload().refCnt());
    assertFalse(writer.withdraw(header -> header.getBatchId() == 1));
    stream.ready = true;
    writer.drain();
    assertEquals(List.of(2L), stream.written);
  }

  @Test
  void writesAnAnswerThatComesWithinTheWrite() {
    stream.onWrite =
        () -> {
          stream.onWrite = () -> {};
          writer.write(message(2));
        };
    writer.write(message(1));
    assertEquals(List.of(1L, 2L), stream.written);
  }

  @Test
  @Timeout(30)
  void doesNotMakeAWriterWaitForAnother() throws InterruptedException {
    CountDownLatch inside = new CountDownLatch(1);
    CountDownLatch otherHasWritten = new CountDownLatch(1);
    stream.onWrite =
        () -> {
          stream.onWrite = () -> {};
          inside.countDown();
          await(otherHasWritten);
        };
    Thread first = Thread.startVirtualThread(() -> writer.write(message(1)));
    await(inside);
    writer.write(message(2));
    writer.complete();
    otherHasWritten.countDown();
    first.join();
    assertEquals(List.of(1L, 2L), stream.written);
    assertTrue(stream.completed);
  }

  @Test
  @Timeout(30)
  void losesAndRepeatsNothingUnderManyThreads() throws InterruptedException {
    int threads = 8;
    int each = 2_000;
    List<Thread> writers = new ArrayList<>();
    for (int t = 0; t < threads; t++) {
      long from = (long) t * each;
      writers.add(
          Thread.ofPlatform()
              .start(() -> {
                for (int i = 0; i < each; i++) {
                  writer.write(message(from + i));
                }
              }));
    }
    for (Thread thread : writers) {
      thread.join();
    }
    writer.complete();
    assertEquals(threads * each, stream.written.size());
    Set<Long> distinct = new HashSet<>(stream.written);
    assertEquals(threads * each, distinct.size());
    assertEquals(0, stream.overlaps.get());
    assertTrue(stream.completed);
  }

  private static TensorMessage<ExchangeResponse> message(long id) {
    return new TensorMessage<>(
        ExchangeResponse.newBuilder().setBatchId(id).build(), Buffers.allocate(16));
  }

  private static void await(CountDownLatch latch) {
    try {
      assertTrue(latch.await(20, TimeUnit.SECONDS));
    } catch (InterruptedException e) {
      throw new AssertionError(e);
    }
  }

  /** A stream that must be written by one thread at a time, and notes when it is not. */
  private static final class FakeStream
      extends CallStreamObserver<TensorMessage<ExchangeResponse>> {
    private final List<Long> written = new ArrayList<>();
    private final AtomicInteger inside = new AtomicInteger();
    private final AtomicInteger overlaps = new AtomicInteger();
    private volatile boolean ready = true;
    private volatile boolean completed;
    private volatile Runnable onWrite = () -> {};

    @Override
    public void onNext(TensorMessage<ExchangeResponse> message) {
      if (inside.incrementAndGet() > 1) {
        overlaps.incrementAndGet();
      }
      onWrite.run();
      written.add(message.header().getBatchId());
      inside.decrementAndGet();
    }

    @Override
    public void onCompleted() {
      completed = true;
    }

    @Override
    public void onError(Throwable failure) {
      throw new AssertionError(failure);
    }

    @Override
    public boolean isReady() {
      return ready;
    }

    @Override
    public void setOnReadyHandler(Runnable handler) {}

    @Override
    public void disableAutoInboundFlowControl() {}

    @Override
    public void request(int count) {}

    @Override
    public void setMessageCompression(boolean enable) {}
  }
}
