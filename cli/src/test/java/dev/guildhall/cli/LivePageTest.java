package dev.guildhall.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import dev.guildhall.repository.LayerRepository;
import java.net.http.HttpClient;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Iterator;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The live page's files and its events, as the JDK's own client sees them. */
class LivePageTest {
  private static final Pattern REFERENCE =
      Pattern.compile("(?:href|src)=\"(/[^\"]*)\"|from \"\\./([^\"]+)\"");

  @TempDir private static Path folder;

  private static ServedSystem system;
  private static HttpClient http;
  private static Rest rest;

  @BeforeAll
  static void start() throws Exception {
    InferenceModels.write(folder);
    system = ServedSystem.start(LayerRepository.open(folder));
    http = HttpClient.newHttpClient();
    rest = new Rest(http, "http://localhost:" + system.httpPort());
  }

  @AfterAll
  static void stop() {
    http.close();
    system.close();
  }

  private static String text(HttpResponse<byte[]> response) {
    return new String(response.body(), StandardCharsets.UTF_8);
  }

  private static String header(HttpResponse<?> response, String name) {
    return response.headers().firstValue(name).orElse("");
  }

  @Test
  void everyFileThatThePageNamesIsThereAndAsksNobodyElse() throws Exception {
    for (String path : List.of("/", "/page/page.js", "/page/heatmap.js")) {
      HttpResponse<byte[]> response = rest.get(path);
      assertEquals(200, response.statusCode(), path);
      assertTrue(header(response, "content-security-policy").startsWith("default-src 'self';"));
      assertEquals("nosniff", header(response, "x-content-type-options"));
      String text = text(response);
      assertFalse(text.contains("//cdn") || text.contains("https:"), path);
      Matcher reference = REFERENCE.matcher(text);
      while (reference.find()) {
        String named =
            reference.group(1) != null ? reference.group(1) : "/page/" + reference.group(2);
        assertEquals(200, rest.get(named).statusCode(), named);
      }
    }
  }

  @Test
  void aFileThatTheClientHasIsNotSentAgain() throws Exception {
    HttpResponse<byte[]> first = rest.get("/page/uplot.js");
    HttpResponse<byte[]> packed =
        rest.send(rest.request("/page/uplot.js").header("Accept-Encoding", "gzip"));
    assertEquals("gzip", header(packed, "content-encoding"));
    for (HttpResponse<byte[]> had : List.of(first, packed)) {
      HttpResponse<byte[]> again =
          rest.send(rest.request("/page/uplot.js").header("If-None-Match", header(had, "etag")));
      assertEquals(304, again.statusCode());
      assertEquals(0, again.body().length);
    }
    HttpResponse<byte[]> head = rest.send(rest.request("/").HEAD());
    assertEquals(200, head.statusCode());
    assertEquals(405, rest.post("/", "").statusCode());
    assertEquals(405, rest.post("/live", "").statusCode());
    assertEquals(200, rest.send(rest.request("/live").HEAD()).statusCode());
  }

  @Test
  void eventsComeEachSecondAndCountWhatIsServed() throws Exception {
    HttpResponse<Stream<String>> response =
        http.send(
            rest.request("/live").header("Accept-Encoding", "gzip").build(),
            BodyHandlers.ofLines());
    assertEquals(200, response.statusCode());
    assertEquals("text/event-stream", header(response, "content-type"));
    assertEquals("no-store", header(response, "cache-control"));
    try (Stream<String> lines = response.body()) {
      Iterator<JsonObject> events =
          lines
              .filter(line -> line.startsWith("data: "))
              .map(line -> JsonParser.parseString(line.substring(6)).getAsJsonObject())
              .iterator();
      assertTrue(events.next().has("columns"));
      JsonObject first = events.next();
      assertEquals(
          InferenceModels.names(),
          first.getAsJsonArray("layers").asList().stream()
              .map(layer -> layer.getAsJsonObject().get("name").getAsString())
              .toList());
      assertEquals(1, first.getAsJsonArray("replicas").size());
      long before = tokens(first);
      assertEquals(
          16, system.client().forward(Requests.random("tight", 16, 8, 1).build()).getShape(0));
      JsonObject news = events.next();
      // A column may have begun meanwhile.
      while (tokens(news) == (column(news) == column(first) ? before : 0)) {
        news = events.next();
      }
      assertEquals(column(news) == column(first) ? before + 16 : 16, tokens(news));
      JsonObject tight = news.getAsJsonArray("layers").get(2).getAsJsonObject();
      assertTrue(tight.get("tokens_per_second").getAsDouble() > 0, tight::toString);
      assertTrue(tight.get("imbalance").getAsDouble() >= 1, tight::toString);
    }
  }

  private static long column(JsonObject snapshot) {
    return snapshot.getAsJsonObject("column").get("number").getAsLong();
  }

  private static long tokens(JsonObject snapshot) {
    return snapshot
        .getAsJsonObject("column")
        .getAsJsonObject("layers")
        .getAsJsonObject("tight")
        .get("tokens")
        .getAsLong();
  }
}
