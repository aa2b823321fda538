package dev.guildhall.router.api.live;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.guildhall.router.api.live.LiveSnapshot.Column;
import dev.guildhall.router.api.live.LiveSnapshot.Rates;
import dev.guildhall.router.forward.LayerCounts;
import java.util.List;
import java.util.stream.LongStream;
import org.junit.jupiter.api.Test;

class LiveHistoryTest {
  private static long[] routes(Column column) {
    LayerCounts counts = column.layers().get("digits");
    assertNotNull(counts);
    return counts.routes();
  }

  @Test
  void aColumnIsWhatCameInFiveSeconds() {
    LiveHistory history = new LiveHistory(Readings.at(0, 100, 50));
    history.add(Readings.at(1, 101, 50));
    history.add(Readings.at(2, 102, 60));
    assertArrayEquals(new long[] {2, 10}, routes(history.snapshot().column()));
    assertEquals(2.0, history.snapshot().column().seconds());
    assertEquals(List.of(), history.past());
    history.add(Readings.at(5, 105, 60));
    assertArrayEquals(new long[] {5, 10}, routes(history.snapshot().column()));
    assertEquals(0, history.snapshot().column().number());
    history.add(Readings.at(6, 106, 61));
    assertEquals(1, history.snapshot().column().number());
    assertArrayEquals(new long[] {1, 1}, routes(history.snapshot().column()));
    Column past = history.past().getFirst();
    assertEquals(0, past.number());
    assertEquals(5000, past.endMillis());
    assertArrayEquals(new long[] {5, 10}, routes(past));
  }

  @Test
  void keepsFiveMinutes() {
    LiveHistory history = new LiveHistory(Readings.at(0, 0, 0));
    for (int i = 1; i <= 100; i++) {
      history.add(Readings.at(5 * i, i, 2L * i));
    }
    List<Column> past = history.past();
    assertEquals(LiveHistory.COLUMNS - 1, past.size());
    assertEquals(
        LongStream.range(40, 99).boxed().toList(), past.stream().map(Column::number).toList());
    past.forEach(column -> assertArrayEquals(new long[] {1, 2}, routes(column)));
    assertEquals(99, history.snapshot().column().number());
  }

  @Test
  void ratesAreOfTheLastSecondsAndImbalanceIsOfTheMinutes() {
    LiveHistory history =
        new LiveHistory(
            Readings.of(0, List.of(Readings.layer("digits", Readings.counts(0, 0, 0, 0)))));
    history.add(Readings.of(60, List.of(Readings.layer("digits", Readings.counts(1, 2, 12, 8)))));
    for (int second = 61; second <= 70; second++) {
      history.add(
          Readings.of(
              second,
              List.of(
                  Readings.layer(
                      "digits", Readings.counts(1 + 2L * (second - 60), 2, 12 + second - 60, 8)))));
    }
    Rates rates = history.snapshot().rates().getFirst();
    assertEquals(2, rates.requestsPerSecond(), 1e-9);
    assertEquals(20, rates.tokensPerSecond(), 1e-9);
    assertEquals(2, rates.latencyMillis(), 1e-9);
    assertEquals(0.5, rates.queueMillis(), 1e-9);
    assertEquals(2 / 30.0, rates.droppedShare(), 1e-9);
    assertEquals(22 / 15.0, rates.imbalance(), 1e-9);
    assertEquals(210 / 15.0, rates.possible(), 1e-9);
  }

  @Test
  void whatIsNotKnownIsNotANumber() {
    LiveHistory history = new LiveHistory(Readings.at(0, 7, 7));
    history.add(Readings.at(1, 7, 7));
    Rates rates = history.snapshot().rates().getFirst();
    assertEquals(0, rates.tokensPerSecond());
    assertTrue(Double.isNaN(rates.latencyMillis()));
    assertTrue(Double.isNaN(rates.imbalance()));
  }

  /** Its counters go on from what they were. */
  @Test
  void aLayerThatIsLoadedAgainMakesNoJump() {
    LiveHistory history = new LiveHistory(Readings.at(0, 1000, 1000));
    history.add(Readings.of(5, List.of()));
    history.add(Readings.at(10, 1000, 1000));
    history.add(Readings.at(15, 1001, 1003));
    List<Column> past = history.past();
    assertFalse(past.get(0).layers().containsKey("digits"));
    assertFalse(past.get(1).layers().containsKey("digits"));
    assertArrayEquals(new long[] {1, 3}, routes(history.snapshot().column()));
    assertEquals(1.5, history.snapshot().rates().getFirst().imbalance(), 1e-9);
  }

  @Test
  void aLayerWithAnotherNumberOfExpertsBeginsAnew() {
    LiveHistory history = new LiveHistory(Readings.at(0, 5, 5));
    history.add(Readings.at(5, 1, 2, 3, 4));
    assertFalse(history.snapshot().column().layers().containsKey("digits"));
    history.add(Readings.at(10, 2, 3, 4, 5));
    assertArrayEquals(new long[] {1, 1, 1, 1}, routes(history.snapshot().column()));
  }
}
