package dev.guildhall.router.api.live;

import com.google.gson.JsonArray;
import com.google.gson.JsonObject;
import dev.guildhall.repository.LayerVersion;
import dev.guildhall.router.api.live.LiveSnapshot.Column;
import dev.guildhall.router.api.live.LiveSnapshot.Rates;
import dev.guildhall.router.forward.LayerCounts;
import dev.guildhall.router.replicas.ReplicaStatus;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Locale;

/** The messages of the live page, as server-sent events whose data is JSON. */
final class LiveJson {
  /** As many of a digest's digits as messages show elsewhere. */
  private static final int VERSION_DIGITS = 12;

  private LiveJson() {}

  /** The columns that a viewer has missed: what it gets first. */
  static byte[] past(List<Column> columns) {
    JsonObject past = new JsonObject();
    past.addProperty("column_seconds", LiveHistory.COLUMN.toSeconds());
    past.addProperty("columns_kept", LiveHistory.COLUMNS);
    JsonArray array = new JsonArray();
    columns.forEach(column -> array.add(json(column)));
    past.add("columns", array);
    return event("past", past);
  }

  static byte[] snapshot(LiveSnapshot snapshot) {
    LiveReading now = snapshot.now();
    JsonObject json = new JsonObject();
    json.addProperty("at_ms", now.millis());
    json.addProperty("tokens_in_flight", now.tokensInFlight());
    json.addProperty("tokens_allowed", now.tokensAllowed());
    json.addProperty("refused_per_second", round(snapshot.refusedPerSecond()));
    JsonArray layers = new JsonArray();
    for (int i = 0; i < now.layers().size(); i++) {
      layers.add(json(now.layers().get(i), snapshot.rates().get(i)));
    }
    json.add("layers", layers);
    JsonArray replicas = new JsonArray();
    now.replicas().forEach(replica -> replicas.add(json(replica, now.layers())));
    json.add("replicas", replicas);
    json.add("column", json(snapshot.column()));
    return event("snapshot", json);
  }

  private static JsonObject json(LiveReading.Layer layer, Rates rates) {
    JsonObject json = new JsonObject();
    String digest = layer.version().digest();
    json.addProperty("name", layer.name());
    json.addProperty("version", digest.substring(0, Math.min(VERSION_DIGITS, digest.length())));
    json.addProperty("experts", layer.experts());
    json.addProperty("k", layer.k());
    json.addProperty("hidden_size", layer.hiddenSize());
    json.addProperty("dense", layer.dense());
    json.addProperty("ready", layer.ready());
    json.addProperty("without_host", ExpertNames.of(layer.withoutHost(), layer.experts()));
    json.addProperty("requests_per_second", round(rates.requestsPerSecond()));
    json.addProperty("failed_per_second", round(rates.failedPerSecond()));
    json.addProperty("tokens_per_second", round(rates.tokensPerSecond()));
    put(json, "latency_ms", rates.latencyMillis());
    put(json, "queue_ms", rates.queueMillis());
    put(json, "dropped_share", rates.droppedShare());
    put(json, "lost_share", rates.lostShare());
    put(json, "imbalance", rates.imbalance());
    put(json, "imbalance_possible", rates.possible());
    return json;
  }

  /** With what it hosts of the versions that are served. */
  private static JsonObject json(ReplicaStatus replica, List<LiveReading.Layer> layers) {
    JsonObject json = new JsonObject();
    json.addProperty("target", replica.target());
    json.addProperty("health", replica.health().name().toLowerCase(Locale.ROOT));
    json.addProperty("device", replica.device());
    json.addProperty("outstanding_rows", replica.outstandingRows());
    JsonObject hosting = new JsonObject();
    for (LiveReading.Layer layer : layers) {
      replica.hosting().stream()
          .filter(hosted -> isVersion(hosted.version(), layer.version()))
          .findFirst()
          .ifPresent(hosted -> hosting.add(layer.name(), json(hosted, layer.experts())));
    }
    json.add("hosting", hosting);
    return json;
  }

  private static boolean isVersion(LayerVersion hosted, LayerVersion served) {
    return hosted.equals(served)
        || (hosted.name().equals(served.name()) && hosted.digest().isEmpty());
  }

  private static JsonObject json(ReplicaStatus.Hosting hosted, int experts) {
    JsonObject json = new JsonObject();
    json.addProperty("experts", ExpertNames.of(hosted.experts(), experts));
    put(json, "batch_ms", hosted.meanNanos() > 0 ? hosted.meanNanos() / 1e6 : Double.NaN);
    return json;
  }

  private static JsonObject json(Column column) {
    JsonObject json = new JsonObject();
    json.addProperty("number", column.number());
    json.addProperty("end_ms", column.endMillis());
    json.addProperty("seconds", round(column.seconds()));
    JsonObject layers = new JsonObject();
    column.layers().forEach((name, counts) -> layers.add(name, json(counts)));
    json.add("layers", layers);
    return json;
  }

  private static JsonObject json(LayerCounts counts) {
    JsonObject json = new JsonObject();
    json.addProperty("requests", counts.requests());
    json.addProperty("failed", counts.failed());
    json.addProperty("tokens", counts.tokens());
    json.addProperty("dropped", counts.dropped());
    json.addProperty("lost", counts.lost());
    JsonArray routes = new JsonArray(counts.routes().length);
    for (long count : counts.routes()) {
      routes.add(count);
    }
    json.add("routes", routes);
    return json;
  }

  /** Leaves out what is not known. */
  private static void put(JsonObject json, String name, double value) {
    if (!Double.isNaN(value)) {
      json.addProperty(name, round(value));
    }
  }

  /** Nobody reads more digits. */
  private static double round(double value) {
    return Math.round(value * 1e4) / 1e4;
  }

  private static byte[] event(String name, JsonObject data) {
    return "event: %s\ndata: %s\n\n".formatted(name, data).getBytes(StandardCharsets.UTF_8);
  }
}
