package dev.guildhall.router.api.live;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import dev.guildhall.repository.LayerVersion;
import dev.guildhall.router.replicas.ReplicaStatus;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

class LiveFeedTest {
  private static final Duration SOON = Duration.ofSeconds(10);
  private static final long SECOND = 1_000_000_000;

  private final AtomicInteger second = new AtomicInteger();
  private final AtomicInteger readings = new AtomicInteger();
  private final LiveFeed feed = LiveFeed.unscheduled(this::read);

  /** Each second brings the first expert one route. */
  private LiveReading read() {
    readings.incrementAndGet();
    int now = second.get();
    return Readings.with(
        Readings.at(now, now, 0),
        new ReplicaStatus(
            "here:1",
            ReplicaStatus.Health.SERVING,
            "cpu",
            7,
            List.of(
                new ReplicaStatus.Hosting(
                    new LayerVersion("digits", "0123456789abcdef"), List.of(0, 1, 2), 1.5e6),
                new ReplicaStatus.Hosting(
                    new LayerVersion("digits", "another"), List.of(0), 9e6))));
  }

  private void pass(int seconds) {
    for (int i = 0; i < seconds; i++) {
      feed.sample(second.incrementAndGet() * SECOND);
    }
  }

  private static JsonObject next(LiveViewer viewer, String event) throws Exception {
    String text = new String(viewer.next(SOON).orElseThrow(), StandardCharsets.UTF_8);
    String head = "event: " + event + "\ndata: ";
    assertTrue(text.startsWith(head) && text.endsWith("\n\n"), text);
    return JsonParser.parseString(text.substring(head.length())).getAsJsonObject();
  }

  @Test
  void readsOnceInAColumnsTimeWhileNobodyLooks() {
    pass(60);
    assertEquals(1 + 12, readings.get());
    LiveViewer viewer = feed.join().orElseThrow();
    LiveViewer other = feed.join().orElseThrow();
    pass(6);
    assertEquals(1 + 12 + 1 + 6, readings.get());
    assertEquals(2, feed.viewers());
    viewer.close();
    other.close();
    pass(10);
    assertEquals(0, feed.viewers());
    assertEquals(1 + 12 + 1 + 6 + 2, readings.get());
  }

  @Test
  void whoComesSeesTheLastMinutesAtOnceAndThenEachSecond() throws Exception {
    pass(12);
    try (LiveViewer viewer = feed.join().orElseThrow()) {
      JsonObject past = next(viewer, "past");
      assertEquals(5, past.get("column_seconds").getAsInt());
      assertEquals(2, past.getAsJsonArray("columns").size());
      JsonObject snapshot = next(viewer, "snapshot");
      assertEquals(2, routes(snapshot));
      pass(1);
      assertEquals(3, routes(next(viewer, "snapshot")));
    }
  }

  private static int routes(JsonObject snapshot) {
    return snapshot
        .getAsJsonObject("column")
        .getAsJsonObject("layers")
        .getAsJsonObject("digits")
        .getAsJsonArray("routes")
        .get(0)
        .getAsInt();
  }

  @Test
  void aReplicaIsShownWithWhatItHostsOfTheVersionsServed() throws Exception {
    try (LiveViewer viewer = feed.join().orElseThrow()) {
      next(viewer, "past");
      assertEquals(
          "[{\"target\":\"here:1\",\"health\":\"serving\",\"device\":\"cpu\",\"outstanding_rows\":7,"
              + "\"hosting\":{\"digits\":{\"experts\":\"0–1, dense\",\"batch_ms\":1.5}}}]",
          next(viewer, "snapshot").getAsJsonArray("replicas").toString());
    }
  }

  @Test
  void whoIsFarBehindIsDroppedAndTheOthersGoOn() throws Exception {
    AtomicBoolean dropped = new AtomicBoolean();
    LiveViewer slow = feed.join().orElseThrow();
    slow.onDropped(() -> dropped.set(true));
    try (LiveViewer quick = feed.join().orElseThrow()) {
      next(quick, "past");
      next(quick, "snapshot");
      for (int i = 0; i < LiveViewer.MOST_WAITING; i++) {
        pass(1);
        next(quick, "snapshot");
      }
      assertTrue(dropped.get());
      assertEquals(Optional.empty(), slow.next(SOON));
      assertEquals(1, feed.viewers());
    }
  }

  @Test
  void viewersAreBounded() {
    List<LiveViewer> all =
        IntStream.range(0, LiveFeed.MOST_VIEWERS).mapToObj(i -> feed.join().orElseThrow()).toList();
    assertEquals(Optional.empty(), feed.join());
    all.getFirst().close();
    assertTrue(feed.join().isPresent());
  }

  @Test
  void theEndComesToThoseWhoLook() throws Exception {
    LiveViewer viewer = feed.join().orElseThrow();
    feed.close();
    assertEquals(Optional.empty(), viewer.next(SOON));
    assertEquals(Optional.empty(), feed.join());
  }
}
