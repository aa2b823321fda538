package dev.guildhall.rpc;

import com.google.protobuf.MessageLite;
import io.grpc.stub.CallStreamObserver;
import java.util.ArrayDeque;
import java.util.function.IntConsumer;
import java.util.function.Predicate;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Writes the messages of any thread to one stream, in order, and holds them back while the stream
 * is not ready. What waits is bounded by whoever bounds the work in flight.
 *
 * <p>One thread at a time writes, whichever finds nobody at it; the others leave their message to
 * it. No lock is held meanwhile: in-process streams answer within the call that writes.
 */
public final class TensorWriter<H extends MessageLite> {
  private static final Logger log = LoggerFactory.getLogger(TensorWriter.class);

  private final CallStreamObserver<TensorMessage<H>> stream;
  private final IntConsumer written;

  // Guarded by this object's lock.
  private final ArrayDeque<TensorMessage<H>> waiting = new ArrayDeque<>();
  private boolean writing;
  private boolean completing;
  private boolean closed;

  /**
   * @param written told the payload's bytes of each message that gRPC has taken, by whichever
   *     thread wrote it
   */
  public TensorWriter(CallStreamObserver<TensorMessage<H>> stream, IntConsumer written) {
    this.stream = stream;
    this.written = written;
  }

  /** Ownership of the message is transferred; it is dropped if the writer is closed. */
  public void write(TensorMessage<H> message) {
    add(message);
    drain();
  }

  /** The same, but the message waits until somebody calls {@link #drain}. */
  public synchronized void add(TensorMessage<H> message) {
    if (closed || completing) {
      message.close();
    } else {
      waiting.add(message);
    }
  }

  /** To be called whenever the stream may have become ready. */
  public void drain() {
    for (TensorMessage<H> message = next(); message != null; message = next()) {
      send(message);
    }
    if (mayComplete()) {
      stream.onCompleted();
    }
  }

  private void send(TensorMessage<H> message) {
    int bytes = message.payload().readableBytes();
    try (message) {
      stream.onNext(message);
    } catch (RuntimeException | OutOfMemoryError e) {
      // The stream is over, or gRPC ends it for this; whoever holds it hears so from gRPC.
      log.debug("a stream took no message", e);
      close();
      return;
    } finally {
      synchronized (this) {
        writing = false;
      }
    }
    written.accept(bytes);
  }

  /**
   * Takes back messages that still wait.
   *
   * @return whether there was one
   */
  public synchronized boolean withdraw(Predicate<H> which) {
    return waiting.removeIf(message -> {
      boolean found = which.test(message.header());
      if (found) {
        message.close();
      }
      return found;
    });
  }

  /** Ends the stream well once everything that waits is written. */
  public void complete() {
    synchronized (this) {
      completing = true;
    }
    drain();
  }

  /** The stream is over: drops what waits. */
  public synchronized void close() {
    closed = true;
    waiting.forEach(TensorMessage::close);
    waiting.clear();
  }

  /** The next message to write, for a thread that nobody is before. */
  private synchronized @Nullable TensorMessage<H> next() {
    if (writing || waiting.isEmpty() || !stream.isReady()) {
      return null;
    }
    writing = true;
    return waiting.remove();
  }

  private synchronized boolean mayComplete() {
    boolean may = completing && !closed && !writing && waiting.isEmpty();
    closed |= may;
    return may;
  }
}
