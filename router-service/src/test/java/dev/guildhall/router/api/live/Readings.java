package dev.guildhall.router.api.live;

import dev.guildhall.repository.LayerVersion;
import dev.guildhall.router.forward.LayerCounts;
import dev.guildhall.router.replicas.ReplicaStatus;
import java.util.List;

/** Readings at seconds of our choice. */
final class Readings {
  private Readings() {}

  /** Of one layer, of which an expert has got so many routes. */
  static LiveReading at(double seconds, long... routes) {
    return of(seconds, List.of(layer("digits", counts(0, 0, routes))));
  }

  static LiveReading of(double seconds, List<LiveReading.Layer> layers) {
    long nanos = (long) (seconds * 1e9);
    return new LiveReading(nanos, nanos / 1_000_000, layers, List.of(), 3, 4096, 0);
  }

  static LiveReading with(LiveReading reading, ReplicaStatus... replicas) {
    return new LiveReading(
        reading.nanos(), reading.millis(), reading.layers(), List.of(replicas), 3, 4096, 0);
  }

  static LiveReading.Layer layer(String name, LayerCounts counts) {
    return new LiveReading.Layer(
        new LayerVersion(name, "0123456789abcdef"),
        counts.routes().length,
        2,
        128,
        true,
        List.of(),
        true,
        counts);
  }

  /** Requests of 10 tokens and 2 ms each, of which half a millisecond in queues. */
  static LayerCounts counts(long requests, long dropped, long... routes) {
    return new LayerCounts(
        requests, 0, requests * 2_000_000, requests * 500_000, requests * 10, dropped, 0, routes);
  }
}
