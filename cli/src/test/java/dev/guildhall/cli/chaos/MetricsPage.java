package dev.guildhall.cli.chaos;

import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.time.Duration;
import java.util.List;

/** What a process showed at /metrics. */
record MetricsPage(List<String> lines) {
  private static final HttpClient HTTP = HttpClient.newHttpClient();
  private static final Duration TIMEOUT = Duration.ofSeconds(10);

  static MetricsPage of(String host, int port) throws IOException, InterruptedException {
    URI uri = URI.create("http://%s:%d/metrics".formatted(host, port));
    HttpRequest request = HttpRequest.newBuilder(uri).timeout(TIMEOUT).build();
    return new MetricsPage(
        HTTP.send(request, HttpResponse.BodyHandlers.ofString()).body().lines().toList());
  }

  /** Over all tags; 0 if there is none of this name. */
  double sum(String name) {
    return sum(name, "");
  }

  /**
   * Over the lines that have a tag.
   *
   * @param tag as the page writes it, {@code name="value"}
   */
  double sum(String name, String tag) {
    return lines.stream()
        .filter(line -> line.startsWith(name + "{") || line.startsWith(name + " "))
        .filter(line -> line.contains(tag))
        .mapToDouble(line -> Double.parseDouble(line.substring(line.lastIndexOf(' ') + 1)))
        .sum();
  }

  /** The lines of a meter. */
  List<String> of(String name) {
    return lines.stream().filter(line -> line.startsWith(name)).toList();
  }
}
