package dev.guildhall.rpc;

import com.google.protobuf.MessageLite;
import io.grpc.stub.CallStreamObserver;
import java.util.ArrayDeque;

/**
 * Writes the messages of any thread to one stream, in order, and holds them back while the stream
 * is not ready. What waits is bounded by whoever bounds the work in flight.
 *
 * <p>The lock is held while gRPC frames a message, which keeps the order.
 */
public final class TensorWriter<H extends MessageLite> {
  private final CallStreamObserver<TensorMessage<H>> stream;
  private final ArrayDeque<TensorMessage<H>> waiting = new ArrayDeque<>();
  private boolean completing;
  private boolean closed;

  public TensorWriter(CallStreamObserver<TensorMessage<H>> stream) {
    this.stream = stream;
  }

  /** Ownership of the message is transferred; it is dropped if the writer is closed. */
  public synchronized void write(TensorMessage<H> message) {
    if (closed || completing) {
      message.close();
      return;
    }
    waiting.add(message);
    drain();
  }

  /** To be called whenever the stream may have become ready. */
  public synchronized void drain() {
    while (!waiting.isEmpty() && stream.isReady()) {
      try (TensorMessage<H> message = waiting.remove()) {
        stream.onNext(message);
      }
    }
    if (completing && !closed && waiting.isEmpty()) {
      closed = true;
      stream.onCompleted();
    }
  }

  /** Ends the stream well once everything that waits is written. */
  public synchronized void complete() {
    completing = true;
    drain();
  }

  /** The stream is over: drops what waits. */
  public synchronized void close() {
    closed = true;
    waiting.forEach(TensorMessage::close);
    waiting.clear();
  }
}
