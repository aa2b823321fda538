package dev.guildhall.rpc;

import io.grpc.stub.CallStreamObserver;

/**
 * Reads the messages of a stream while there is room for them, in number and in bytes: those that
 * are not answered yet, and the answers that the peer has not taken. Without it a peer that sends
 * and does not read would fill the memory. Thread-safe.
 */
public final class InboundWindow {
  /** Asked of gRPC at once, so that the next message is read while this one is looked at. */
  private static final int AHEAD = 8;

  private final CallStreamObserver<?> stream;
  private final int maxMessages;
  private final long maxBytes;

  // Guarded by this object's lock.
  private int asked;
  private int messages;
  private long bytes;
  private long largest = 1;

  /**
   * A window over a stream whose automatic requests are disabled.
   *
   * @param maxMessages that may be open at once
   * @param maxBytes after which no more are read; those asked for already may pass it, as many as
   *     fit if they are as large as the largest so far, or one
   */
  public InboundWindow(CallStreamObserver<?> stream, int maxMessages, long maxBytes) {
    this.stream = stream;
    this.maxMessages = maxMessages;
    this.maxBytes = maxBytes;
  }

  /** To be called once, when the stream begins. */
  public void open() {
    ask(0, 0, 0);
  }

  /** A message of so many bytes has come. */
  public void arrived(int size) {
    synchronized (this) {
      largest = Math.max(largest, size);
    }
    ask(-1, 1, size);
  }

  /** A message that came has become an answer of another size. */
  public void answered(int size, int answerSize) {
    ask(0, 0, (long) answerSize - size);
  }

  /** An answer of so many bytes was taken by gRPC, or a message needs none. */
  public void taken(int answerSize) {
    ask(0, -1, -answerSize);
  }

  private void ask(int askedChange, int messagesChange, long bytesChange) {
    int more;
    synchronized (this) {
      asked += askedChange;
      messages += messagesChange;
      bytes += bytesChange;
      more = room() - asked;
      if (more <= 0) {
        return;
      }
      asked += more;
    }
    stream.request(more);
  }

  /** How many messages may be asked for and not have come. */
  private int room() {
    if (bytes >= maxBytes) {
      return 0;
    }
    long fitting = Math.max(1, (maxBytes - bytes) / largest);
    return (int) Math.min(Math.min(AHEAD, fitting), maxMessages - messages);
  }
}
