package dev.guildhall.router.api.live;

import dev.guildhall.router.api.live.LiveSnapshot.Column;
import dev.guildhall.router.api.live.LiveSnapshot.Rates;
import dev.guildhall.router.forward.LayerCounts;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Deque;
import java.util.HashMap;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * The last minutes in columns of some seconds, from readings of counters that only grow. The time
 * is that of the readings. Used by one thread at a time.
 */
final class LiveHistory {
  static final Duration COLUMN = Duration.ofSeconds(5);

  /** Five minutes, as the recording rules look back. */
  static final int COLUMNS = 60;

  /** Readings come a little early or late. */
  private static final long LEAST_NANOS = COLUMN.minusMillis(500).toNanos();

  /** Rates are over this much or, where readings are rare, over the time between two. */
  private static final long RATE_NANOS = Duration.ofSeconds(4).toNanos();

  private static final LayerCounts NOTHING = new LayerCounts(0, 0, 0, 0, 0, 0, 0, new long[0]);

  /** What was counted at a moment. */
  private record Mark(long nanos, long millis, long refused, Map<String, LayerCounts> counts) {
    static Mark of(LiveReading reading) {
      Map<String, LayerCounts> counts = new HashMap<>();
      reading.layers().forEach(layer -> counts.put(layer.name(), layer.counts()));
      return new Mark(reading.nanos(), reading.millis(), reading.refused(), counts);
    }

    double secondsSince(Mark earlier) {
      return (double) (nanos - earlier.nanos) / 1e9;
    }

    /** Of the layers that both know. */
    Map<String, LayerCounts> since(Mark earlier) {
      Map<String, LayerCounts> differences = new HashMap<>();
      counts.forEach((name, now) ->
          earlier.of(name, now).ifPresent(before -> differences.put(name, now.since(before))));
      return differences;
    }

    /** What was counted of a layer, if there was one of this name with as many experts. */
    Optional<LayerCounts> of(String name, LayerCounts like) {
      return Optional.ofNullable(counts.get(name))
          .filter(known -> known.routes().length == like.routes().length);
    }
  }

  private LiveReading reading;
  private Mark latest;

  /** Where columns begin, the one in progress last. */
  private final Deque<Mark> edges = new ArrayDeque<>();

  /** Where rates may begin, oldest first. */
  private final List<Mark> recent = new ArrayList<>();

  private long number;

  LiveHistory(LiveReading first) {
    reading = first;
    latest = Mark.of(first);
    edges.add(latest);
    recent.add(latest);
  }

  /** Whether a column ends about now, so that a reading is wanted. */
  boolean isDue(long nanos) {
    return endsColumn(latest.nanos) ? nanos - latest.nanos >= LEAST_NANOS : endsColumn(nanos);
  }

  private boolean endsColumn(long nanos) {
    return nanos - edges.getLast().nanos >= LEAST_NANOS;
  }

  void add(LiveReading next) {
    if (endsColumn(latest.nanos)) {
      edges.add(latest);
      number++;
    }
    if (edges.size() > COLUMNS) {
      edges.removeFirst();
    }
    reading = next;
    latest = Mark.of(next);
    recent.add(latest);
    while (recent.size() > 1 && latest.nanos - recent.get(1).nanos >= RATE_NANOS) {
      recent.removeFirst();
    }
  }

  /** The columns before the one in progress, oldest first. */
  List<Column> past() {
    List<Column> columns = new ArrayList<>();
    Iterator<Mark> all = edges.iterator();
    Mark start = all.next();
    for (long i = number - edges.size() + 1; all.hasNext(); i++) {
      Mark end = all.next();
      columns.add(column(i, start, end));
      start = end;
    }
    return columns;
  }

  private static Column column(long number, Mark start, Mark end) {
    return new Column(number, end.millis, end.secondsSince(start), end.since(start));
  }

  LiveSnapshot snapshot() {
    Mark start = recent.getFirst();
    double seconds = latest.secondsSince(start);
    Map<String, LayerCounts> shortly = latest.since(start);
    Map<String, LayerCounts> minutes = minutes();
    return new LiveSnapshot(
        reading,
        reading.layers().stream()
            .map(layer ->
                rates(
                    seconds,
                    shortly.getOrDefault(layer.name(), NOTHING),
                    minutes.getOrDefault(layer.name(), NOTHING)))
            .toList(),
        ratio(latest.refused - start.refused, seconds, 0),
        column(number, edges.getLast(), latest));
  }

  /** Since the oldest moment from which on each layer is known. */
  private Map<String, LayerCounts> minutes() {
    Map<String, LayerCounts> sums = new HashMap<>();
    latest.counts.forEach((name, now) ->
        edges.stream()
            .flatMap(edge -> edge.of(name, now).stream())
            .findFirst()
            .ifPresent(oldest -> sums.put(name, now.since(oldest))));
    return sums;
  }

  private static Rates rates(double seconds, LayerCounts now, LayerCounts minutes) {
    long routes = Arrays.stream(minutes.routes()).sum();
    long most = Arrays.stream(minutes.routes()).max().orElse(0);
    double mean = ratio(routes, minutes.routes().length, 0);
    return new Rates(
        ratio(now.requests(), seconds, 0),
        ratio(now.failed(), seconds, 0),
        ratio(now.tokens(), seconds, 0),
        ratio(now.nanos(), (double) now.requests() * 1e6, Double.NaN),
        ratio(now.queueNanos(), (double) now.requests() * 1e6, Double.NaN),
        ratio(minutes.dropped(), (double) routes, Double.NaN),
        ratio(minutes.lost(), (double) routes, Double.NaN),
        ratio(most, mean, Double.NaN),
        ratio(minutes.tokens(), mean, Double.NaN));
  }

  private static double ratio(long part, double whole, double none) {
    return whole > 0 ? (double) part / whole : none;
  }
}
