package dev.guildhall.deploy;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.dataformat.yaml.YAMLFactory;
import dev.guildhall.Tools;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;

/** Alerts fire when they should, on metrics that there are, and say where to read on. */
class AlertRulesTest {
  private static final String RULES = "deploy/helm/guildhall/files/rules.yaml";
  private static final String RULES_TEST = "deploy/prometheus/rules.test.yaml";

  @Test
  void promtoolFindsNothingWrong() throws Exception {
    Tools.need("promtool");
    Commands.run(Map.of(), List.of("promtool", "check", "rules", RULES));
    Commands.run(Map.of(), List.of("promtool", "test", "rules", RULES_TEST));
  }

  @Test
  void everyMetricIsExposed() throws Exception {
    ExposedMetrics exposed = ExposedMetrics.ofServices();
    assertEquals(
        Set.of("by (layer, rank)", "guildhall_routes_total{exprt}", "guildhall_tokens_bucket"),
        exposed.missing(
            "sum by (layer, rank) (guildhall_routes_total{exprt=\"0\"}) / guildhall_tokens_bucket",
            ""));
    for (JsonNode rule : rules()) {
      String expression = rule.path("expr").asText();
      assertEquals(Set.of(), exposed.missing(expression, read(RULES)), expression);
    }
  }

  @Test
  void everyAlertHasARunbook() throws Exception {
    Set<String> headings =
        read("docs/operations.md")
            .lines()
            .filter(line -> line.startsWith("#"))
            .map(line -> line.replaceFirst("#+ ", "").toLowerCase(Locale.ROOT))
            .collect(Collectors.toSet());
    int alerts = 0;
    for (JsonNode rule : rules()) {
      if (rule.has("alert")) {
        alerts++;
        String name = rule.path("alert").asText();
        String heading = name.toLowerCase(Locale.ROOT);
        assertEquals(
            "docs/operations.md#" + heading,
            rule.path("annotations").path("runbook_url").asText(),
            name);
        assertTrue(headings.contains(heading), name);
        assertTrue(fires(name), "no test makes %s fire".formatted(name));
      }
    }
    assertTrue(alerts > 0);
  }

  private static JsonNode rules() throws Exception {
    return new ObjectMapper(new YAMLFactory()).readTree(read(RULES)).at("/groups/0/rules");
  }

  private static boolean fires(String alert) throws Exception {
    JsonNode tests = new ObjectMapper(new YAMLFactory()).readTree(read(RULES_TEST));
    return tests.findValues("alert_rule_test").stream()
        .flatMap(JsonNode::valueStream)
        .anyMatch(test ->
            test.path("alertname").asText().equals(alert) && !test.path("exp_alerts").isEmpty());
  }

  private static String read(String file) throws Exception {
    return Files.readString(Path.of("..").resolve(file));
  }
}
