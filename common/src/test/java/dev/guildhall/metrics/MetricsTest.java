package dev.guildhall.metrics;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.lang.reflect.Field;
import java.net.ConnectException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;

class MetricsTest {
  /** A sample of Prometheus' text format: name, labels, value. */
  private static final Pattern SAMPLE =
      Pattern.compile(
          "[a-zA-Z_:][a-zA-Z0-9_:]*"
              + "(\\{([a-zA-Z_][a-zA-Z0-9_]*=\"([^\"\\\\\n]|\\\\[\\\\\"n])*\",?)*\\})?"
              + " (NaN|[+-]?Inf|[+-]?[0-9.]+([eE][+-]?[0-9]+)?)( -?[0-9]+)?");

  @Test
  void servesOurMetersAndTheJvmsInPrometheusTextFormat() throws Exception {
    try (Metrics metrics = new Metrics(0)) {
      metrics.registry().counter(MetricNames.REQUESTS, "layer", "a \"b\"\\\n", "status", "OK");
      metrics.registry().timer(MetricNames.REQUEST_DURATION, "layer", "digits");
      metrics.registry().summary(MetricNames.EXPERT_BLOCK_ROWS, "layer", "digits").record(3);
      HttpResponse<String> response = get(metrics.port());
      assertEquals(200, response.statusCode());
      List<String> samples = response.body().lines().filter(line -> !line.startsWith("#")).toList();
      for (String line : samples) {
        assertTrue(SAMPLE.matcher(line).matches(), line);
      }
      assertHas(
          samples, "guildhall_requests_total{layer=\"a \\\"b\\\"\\\\\\n\",status=\"OK\"} 0.0");
      assertHas(samples, "guildhall_request_duration_seconds_count{layer=\"digits\"} 0");
      assertHas(samples, "guildhall_expert_block_rows_sum{layer=\"digits\"} 3.0");
      assertHas(samples, "jvm_memory_used_bytes{");
      assertHas(samples, "process_uptime_seconds ");
    }
  }

  @Test
  void eachProcessHasItsOwnRegistryAndPort() throws Exception {
    try (Metrics one = new Metrics(0);
        Metrics other = new Metrics(0)) {
      one.registry().counter(MetricNames.TOKENS).increment();
      assertTrue(get(one.port()).body().contains("guildhall_tokens_total 1.0"));
      assertTrue(!get(other.port()).body().contains("guildhall_tokens_total"));
    }
  }

  @Test
  void freesThePortWhenClosed() throws Exception {
    int port;
    try (Metrics metrics = new Metrics(0)) {
      port = metrics.port();
    }
    assertThrows(ConnectException.class, () -> get(port));
  }

  @Test
  void refusesAPortThatIsTaken() throws IOException {
    try (Metrics metrics = new Metrics(0)) {
      assertThrows(IOException.class, () -> new Metrics(metrics.port()).close());
    }
  }

  @Test
  void namesAreOursAndUniqueInPrometheusToo() throws IllegalAccessException {
    List<String> names = new ArrayList<>();
    for (Field field : MetricNames.class.getDeclaredFields()) {
      if (field.getType() == String.class) {
        names.add((String) field.get(null));
      }
    }
    assertTrue(names.size() >= 14, names.toString());
    assertEquals(
        names.size(), new HashSet<>(names.stream().map(n -> n.replace('.', '_')).toList()).size());
    for (String name : names) {
      assertTrue(name.matches("guildhall(\\.[a-z]+)+"), name);
    }
  }

  private static void assertHas(List<String> samples, String start) {
    assertTrue(
        samples.stream().anyMatch(line -> line.startsWith(start)),
        () -> start + " is not in\n" + String.join("\n", samples));
  }

  private static HttpResponse<String> get(int port) throws Exception {
    try (HttpClient client = HttpClient.newHttpClient()) {
      URI uri = URI.create("http://localhost:%d/metrics".formatted(port));
      return client.send(HttpRequest.newBuilder(uri).build(), HttpResponse.BodyHandlers.ofString());
    }
  }
}
