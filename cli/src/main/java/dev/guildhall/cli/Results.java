package dev.guildhall.cli;

import com.google.gson.JsonArray;
import com.google.gson.JsonObject;
import dev.guildhall.proto.ForwardResponse;
import java.util.Collections;
import java.util.List;
import java.util.Locale;
import java.util.stream.IntStream;

/** How a layer's answer looks on a terminal and in JSON. */
final class Results {
  private static final int BAR_WIDTH = 48;

  private Results() {}

  static JsonObject layerOutput(ForwardResponse response) {
    JsonObject object = new JsonObject();
    object.addProperty("l_aux", response.getLAux());
    JsonArray counts = new JsonArray();
    response.getExpCountsList().forEach(counts::add);
    object.add("exp_counts", counts);
    object.addProperty("capacity", response.getCapacity());
    object.addProperty("dropped_routes", response.getDroppedRoutes());
    if (response.getLostRoutes() > 0) {
      object.addProperty("lost_routes", response.getLostRoutes());
      JsonArray lost = new JsonArray();
      response.getLostExpertsList().forEach(lost::add);
      object.add("lost_experts", lost);
    }
    return object;
  }

  /** A bar an expert, the longest for the expert with the most tokens. */
  static List<String> tokensPerExpert(ForwardResponse response) {
    List<Long> counts = response.getExpCountsList();
    if (counts.isEmpty()) {
      return List.of();
    }
    long most = Math.max(1, Collections.max(counts));
    return IntStream.range(0, counts.size())
        .mapToObj(expert ->
            "expert %3d %7d %s"
                .formatted(
                    expert,
                    counts.get(expert),
                    "#".repeat((int) (counts.get(expert) * BAR_WIDTH / most))))
        .toList();
  }

  static String percent(long part, long whole) {
    return String.format(Locale.ROOT, "%.2f %%", 100.0 * part / whole);
  }
}
