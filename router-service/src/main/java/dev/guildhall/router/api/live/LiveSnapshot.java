package dev.guildhall.router.api.live;

import dev.guildhall.router.forward.LayerCounts;
import java.util.List;
import java.util.Map;

/**
 * How a router does now.
 *
 * @param now what it says of itself
 * @param rates of each layer of the reading, in its order
 * @param refusedPerSecond requests refused before they were read
 * @param column of the heat map, as far as it goes
 */
record LiveSnapshot(LiveReading now, List<Rates> rates, double refusedPerSecond, Column column) {

  LiveSnapshot {
    rates = List.copyOf(rates);
  }

  /**
   * Of the last seconds; shares and imbalance are of the last minutes, as in the recording rules
   * for Prometheus.
   *
   * @param latencyMillis mean of the requests that succeeded; NaN without any, as all below
   * @param queueMillis of it, the mean of the longest wait at an expert service
   * @param droppedShare of the routes, those that their expert had no room for
   * @param lostShare of the routes, those whose expert nobody hosted
   * @param imbalance routes of the busiest expert over those of the mean one; 1 is perfect
   * @param possible what that is when every token chooses the same expert
   */
  record Rates(
      double requestsPerSecond,
      double failedPerSecond,
      double tokensPerSecond,
      double latencyMillis,
      double queueMillis,
      double droppedShare,
      double lostShare,
      double imbalance,
      double possible) {}

  /**
   * What happened in a short time.
   *
   * @param number counts up from the router's start
   * @param endMillis since 1970
   * @param layers by name; those are absent that were not there the whole time
   */
  record Column(long number, long endMillis, double seconds, Map<String, LayerCounts> layers) {
    Column {
      layers = Map.copyOf(layers);
    }
  }
}
