package dev.guildhall.deploy;

import dev.guildhall.metrics.MetricNames;
import dev.guildhall.metrics.Metrics;
import java.lang.reflect.Field;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** What a Prometheus can know of our processes, and what expressions ask it for. */
final class ExposedMetrics {
  private static final Pattern METRIC =
      Pattern.compile("\\b(guildhall|jvm|process|system)_[a-z_]+\\b");
  private static final Pattern RECORDED =
      Pattern.compile("\\b(layer|instance):guildhall_[a-z_:]+\\b");

  private ExposedMetrics() {}

  /** Metrics in expressions that no process exposes and no rule records. */
  static Set<String> missing(String expressions, String rules) throws Exception {
    Set<String> missing = new TreeSet<>();
    Matcher recorded = RECORDED.matcher(expressions);
    while (recorded.find()) {
      if (!rules.contains("record: " + recorded.group())) {
        missing.add(recorded.group());
      }
    }
    Set<String> exposed = names();
    Matcher metrics = METRIC.matcher(RECORDED.matcher(expressions).replaceAll(""));
    while (metrics.find()) {
      if (!exposed.contains(metrics.group())) {
        missing.add(metrics.group());
      }
    }
    return missing;
  }

  /** Our own by their constants, whatever kind each is; the JVM's from a page that is served. */
  private static Set<String> names() throws Exception {
    Set<String> names = new HashSet<>();
    for (Field field : MetricNames.class.getFields()) {
      String name = String.valueOf(field.get(null)).replace('.', '_');
      for (String suffix :
          List.of(
              "",
              "_total",
              "_sum",
              "_count",
              "_seconds_sum",
              "_seconds_count",
              "_seconds_bucket")) {
        names.add(name + suffix);
      }
    }
    try (Metrics metrics = new Metrics(0)) {
      MetricsPage.read("http://localhost:%d/metrics".formatted(metrics.port()))
          .text()
          .lines()
          .filter(line -> !line.startsWith("#"))
          .forEach(line -> names.add(line.split("[{ ]", 2)[0]));
    }
    return names;
  }
}
