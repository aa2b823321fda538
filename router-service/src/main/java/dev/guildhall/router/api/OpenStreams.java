package dev.guildhall.router.api;

import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;

/** The streams that an endpoint has open, which end together when the router drains. */
public final class OpenStreams {
  private final Set<RequestStream<?>> streams = ConcurrentHashMap.newKeySet();
  private volatile boolean draining;

  void add(RequestStream<?> stream) {
    streams.add(stream);
    if (draining) {
      stream.drain();
    }
  }

  void remove(RequestStream<?> stream) {
    streams.remove(stream);
  }

  /** Lets every stream, and those to come, end once what it has asked for is answered. */
  public void drain() {
    draining = true;
    streams.forEach(RequestStream::drain);
  }
}
