package dev.guildhall.cli.bench;

import com.google.gson.JsonObject;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.function.ToDoubleFunction;

/**
 * What the rounds of a layer bench come to: the median round of each kind, and their ratios.
 *
 * @param bytesPerToken payload bytes moved
 * @param cost of the served rounds; unknown for processes that were there before
 */
record LayerReport(
    int tokens,
    int bytesPerToken,
    List<Load> limits,
    List<Load> floors,
    List<Load> served,
    Optional<Cost> cost) {

  /**
   * What requests cost.
   *
   * @param cpuNanos of all processes, the client's included
   * @param allocatedBytes heap of router and experts
   */
  record Cost(double cpuNanos, double allocatedBytes) {}

  /** Every figure by its name in JSON. */
  private Map<String, Double> figures() {
    double tokensServed = (double) tokens * served.stream().mapToLong(Load::requests).sum();
    double throughput = tokens * median(served, Load::requestsPerSecond);
    double limit = tokens * median(limits, Load::requestsPerSecond);
    double p50 = median(served, load -> load.micros(50));
    double limitP50 = median(limits, load -> load.micros(50));
    double floorP50 = median(floors, load -> load.micros(50));
    Map<String, Double> figures = new LinkedHashMap<>();
    figures.put("tokens_per_second", throughput);
    figures.put("compute_limit_tokens_per_second", limit);
    figures.put("throughput_ratio", throughput / limit);
    figures.put("p50_us", p50);
    figures.put("p90_us", median(served, load -> load.micros(90)));
    figures.put("p99_us", median(served, load -> load.micros(99)));
    figures.put("p999_us", median(served, load -> load.micros(99.9)));
    figures.put("compute_limit_p50_us", limitP50);
    figures.put("p50_ratio", p50 / limitP50);
    figures.put("rpc_floor_p50_us", floorP50);
    figures.put("rpc_floor_ratio", p50 / floorP50);
    figures.put("bytes_per_token", (double) bytesPerToken);
    cost.ifPresent(known -> {
      double allocated = known.allocatedBytes() / tokensServed;
      figures.put("cpu_us_per_token", known.cpuNanos() / 1e3 / tokensServed);
      figures.put("allocated_bytes_per_token", allocated);
      figures.put("allocated_per_byte_moved", allocated / bytesPerToken);
    });
    return figures;
  }

  private static double median(List<Load> rounds, ToDoubleFunction<Load> figure) {
    double[] sorted = rounds.stream().mapToDouble(figure).sorted().toArray();
    return sorted[sorted.length / 2];
  }

  JsonObject json() {
    JsonObject object = new JsonObject();
    figures().forEach(object::addProperty);
    return object;
  }

  List<String> lines() {
    return figures().entrySet().stream()
        .map(figure ->
            String.format(Locale.ROOT, "%-32s %,16.3f", figure.getKey(), figure.getValue()))
        .toList();
  }
}
