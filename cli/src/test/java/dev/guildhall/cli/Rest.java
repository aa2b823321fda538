package dev.guildhall.cli;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.zip.GZIPInputStream;
import java.util.zip.GZIPOutputStream;

/** A client of the protocol's REST face, made of the JDK alone. */
record Rest(HttpClient http, String base) {
  /** The length of the JSON object, where binary data follows it. */
  static final String JSON_BYTES = "Inference-Header-Content-Length";

  HttpRequest.Builder request(String path) {
    return HttpRequest.newBuilder(URI.create(base + path)).timeout(Duration.ofSeconds(30));
  }

  HttpResponse<byte[]> send(HttpRequest.Builder request) throws IOException, InterruptedException {
    return http.send(request.build(), BodyHandlers.ofByteArray());
  }

  HttpResponse<byte[]> get(String path) throws IOException, InterruptedException {
    return send(request(path));
  }

  HttpResponse<byte[]> post(String path, String body) throws IOException, InterruptedException {
    return send(request(path).POST(BodyPublishers.ofString(body)));
  }

  /** A JSON object with binary data behind it. */
  HttpResponse<byte[]> post(String path, String json, byte[] data)
      throws IOException, InterruptedException {
    byte[] head = json.getBytes(StandardCharsets.UTF_8);
    return send(
        request(path)
            .header(JSON_BYTES, Integer.toString(head.length))
            .POST(
                BodyPublishers.concat(
                    BodyPublishers.ofByteArray(head), BodyPublishers.ofByteArray(data))));
  }

  static JsonObject json(HttpResponse<byte[]> response) {
    return element(response).getAsJsonObject();
  }

  static JsonElement element(HttpResponse<byte[]> response) {
    return JsonParser.parseString(new String(response.body(), StandardCharsets.UTF_8));
  }

  static String error(HttpResponse<byte[]> response) {
    return json(response).get("error").getAsString();
  }

  /** An output of an answer. */
  static JsonObject output(JsonObject answer, String name) {
    for (JsonElement output : answer.getAsJsonArray("outputs")) {
      if (output.getAsJsonObject().get("name").getAsString().equals(name)) {
        return output.getAsJsonObject();
      }
    }
    throw new AssertionError("no output " + name + " in " + answer);
  }

  static float[] floats(JsonObject answer, String name) {
    JsonArray data = output(answer, name).getAsJsonArray("data");
    float[] values = new float[data.size()];
    for (int i = 0; i < values.length; i++) {
      values[i] = data.get(i).getAsFloat();
    }
    return values;
  }

  static long[] longs(JsonObject answer, String name) {
    return output(answer, name).getAsJsonArray("data").asList().stream()
        .mapToLong(JsonElement::getAsLong)
        .toArray();
  }

  static byte[] gzip(byte[] bytes) throws IOException {
    ByteArrayOutputStream packed = new ByteArrayOutputStream();
    try (GZIPOutputStream gzip = new GZIPOutputStream(packed)) {
      gzip.write(bytes);
    }
    return packed.toByteArray();
  }

  static byte[] gunzip(byte[] bytes) throws IOException {
    try (GZIPInputStream gzip = new GZIPInputStream(new ByteArrayInputStream(bytes))) {
      return gzip.readAllBytes();
    }
  }
}
