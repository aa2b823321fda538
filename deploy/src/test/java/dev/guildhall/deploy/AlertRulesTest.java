package dev.guildhall.deploy;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;

/** Alerts fire when they should, on metrics that there are, and say where to read on. */
class AlertRulesTest {
  private static final String RULES = "deploy/helm/guildhall/files/rules.yaml";

  @Test
  void promtoolFindsNothingWrong() throws Exception {
    Tools.need("promtool");
    Commands.run(Map.of(), List.of("promtool", "check", "rules", RULES));
    Commands.run(
        Map.of(), List.of("promtool", "test", "rules", "deploy/prometheus/rules.test.yaml"));
  }

  @Test
  void everyMetricIsExposed() throws Exception {
    String rules = read(RULES);
    assertEquals(Set.of(), ExposedMetrics.missing(rules, rules));
  }

  @Test
  void everyRunbookIsThere() throws Exception {
    Set<String> headings =
        read("docs/operations.md")
            .lines()
            .filter(line -> line.startsWith("#"))
            .map(line -> line.replaceFirst("#+ ", "").toLowerCase(Locale.ROOT))
            .collect(Collectors.toSet());
    Matcher runbooks = Pattern.compile("docs/operations\\.md#(\\w+)").matcher(read(RULES));
    while (runbooks.find()) {
      assertTrue(headings.contains(runbooks.group(1)), runbooks.group(1));
    }
  }

  private static String read(String file) throws Exception {
    return Files.readString(Path.of("..").resolve(file));
  }
}
