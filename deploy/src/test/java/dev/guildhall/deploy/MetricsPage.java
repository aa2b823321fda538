package dev.guildhall.deploy;

import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.time.Duration;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** What a metrics port says. */
record MetricsPage(String text) {
  private static final Pattern LABEL = Pattern.compile("[{,](\\w+)=\"");

  static MetricsPage read(String address) throws IOException, InterruptedException {
    try (HttpClient client = HttpClient.newHttpClient()) {
      HttpRequest request =
          HttpRequest.newBuilder(URI.create(address)).timeout(Duration.ofSeconds(10)).build();
      return new MetricsPage(client.send(request, HttpResponse.BodyHandlers.ofString()).body());
    }
  }

  /** The keys of the labels of every metric. */
  Map<String, Set<String>> labels() {
    Map<String, Set<String>> labels = new HashMap<>();
    text.lines()
        .filter(line -> !line.startsWith("#"))
        .forEach(line -> {
          Matcher key = LABEL.matcher(line);
          Set<String> keys =
              labels.computeIfAbsent(line.split("[{ ]", 2)[0], name -> new HashSet<>());
          while (key.find()) {
            keys.add(key.group(1));
          }
        });
    return labels;
  }

  /** Of a metric over all labels. */
  double sum(String name) {
    return text.lines()
        .filter(line -> line.startsWith(name + "{") || line.startsWith(name + " "))
        .mapToDouble(line -> Double.parseDouble(line.substring(line.lastIndexOf(' ') + 1)))
        .sum();
  }
}
