package dev.guildhall.router.api.http;

import com.google.gson.JsonArray;
import com.google.gson.JsonObject;
import dev.guildhall.router.api.oip.Models;
import dev.guildhall.router.api.oip.ServerInfo;
import dev.guildhall.router.api.oip.TensorSpec;
import dev.guildhall.router.forward.ForwardStatistics;
import java.util.List;

/** The protocol's objects about servers and models, as JSON. */
final class ModelsJson {
  private ModelsJson() {}

  static JsonObject server() {
    JsonObject object = new JsonObject();
    object.addProperty("name", ServerInfo.NAME);
    object.addProperty("version", ServerInfo.VERSION);
    JsonArray extensions = new JsonArray();
    ServerInfo.EXTENSIONS.forEach(extensions::add);
    object.add("extensions", extensions);
    return object;
  }

  static JsonObject flag(String name, boolean value) {
    JsonObject object = new JsonObject();
    object.addProperty(name, value);
    return object;
  }

  static JsonObject ready(Models.Model model) {
    JsonObject object = new JsonObject();
    object.addProperty("name", model.name());
    object.addProperty("ready", model.ready());
    return object;
  }

  static JsonObject metadata(Models.Model model) {
    JsonObject object = new JsonObject();
    object.addProperty("name", model.name());
    JsonArray versions = new JsonArray();
    versions.add(model.version());
    object.add("versions", versions);
    object.addProperty("platform", Models.PLATFORM);
    object.add("inputs", tensors(model.inputs()));
    object.add("outputs", tensors(model.outputs()));
    return object;
  }

  private static JsonArray tensors(List<TensorSpec> specs) {
    JsonArray tensors = new JsonArray();
    for (TensorSpec spec : specs) {
      JsonObject tensor = new JsonObject();
      tensor.addProperty("name", spec.name());
      tensor.addProperty("datatype", spec.datatype());
      JsonArray shape = new JsonArray();
      spec.shape().forEach(shape::add);
      tensor.add("shape", shape);
      tensors.add(tensor);
    }
    return tensors;
  }

  static JsonArray index(List<Models.Entry> entries) {
    JsonArray index = new JsonArray();
    for (Models.Entry entry : entries) {
      JsonObject object = new JsonObject();
      object.addProperty("name", entry.name());
      object.addProperty("version", entry.version());
      object.addProperty("state", entry.state());
      object.addProperty("reason", entry.reason());
      index.add(object);
    }
    return index;
  }

  static JsonObject statistics(Models models, List<Models.Model> asked) {
    JsonArray all = new JsonArray();
    for (Models.Model model : asked) {
      ForwardStatistics.Totals totals = models.statistics(model);
      JsonObject object = new JsonObject();
      object.addProperty("name", model.name());
      object.addProperty("version", model.version());
      object.addProperty("last_inference", totals.lastMillis());
      object.addProperty("inference_count", totals.tokens());
      object.addProperty("execution_count", totals.succeeded());
      object.add("inference_stats", durations(totals));
      object.add("batch_stats", new JsonArray());
      all.add(object);
    }
    JsonObject statistics = new JsonObject();
    statistics.add("model_stats", all);
    return statistics;
  }

  private static JsonObject durations(ForwardStatistics.Totals totals) {
    JsonObject object = new JsonObject();
    object.add("success", duration(totals.succeeded(), totals.succeededNanos()));
    object.add("fail", duration(totals.failed(), totals.failedNanos()));
    object.add("queue", duration(totals.succeeded(), totals.queueNanos()));
    object.add("compute_input", duration(0, 0));
    object.add("compute_infer", duration(totals.succeeded(), totals.computeNanos()));
    object.add("compute_output", duration(0, 0));
    return object;
  }

  private static JsonObject duration(long count, long nanos) {
    JsonObject object = new JsonObject();
    object.addProperty("count", count);
    object.addProperty("ns", nanos);
    return object;
  }
}
