package dev.guildhall.deploy;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.guildhall.Tools;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Grafana's dashboards, without Grafana. */
class DashboardsTest {
  private static final Path FOLDER = Path.of("helm", "guildhall", "files", "dashboards");

  @TempDir private Path folder;

  static Stream<Path> dashboards() throws IOException {
    List<Path> files = new ArrayList<>();
    try (Stream<Path> listed = Files.list(FOLDER)) {
      listed.sorted().forEach(files::add);
    }
    assertFalse(files.isEmpty());
    return files.stream();
  }

  private static JsonNode read(Path file) throws IOException {
    return new ObjectMapper().readTree(file.toFile());
  }

  private static List<String> expressions(Path file) throws IOException {
    return read(file).findValues("expr").stream().map(JsonNode::asText).toList();
  }

  @Test
  void everyDashboardHasAnIdOfItsOwn() throws Exception {
    Set<String> ids = new HashSet<>();
    for (Path file : dashboards().toList()) {
      assertTrue(ids.add(read(file).path("uid").asText()), file.toString());
    }
  }

  @ParameterizedTest
  @MethodSource("dashboards")
  void everyPanelSaysWhatItShows(Path file) throws Exception {
    Set<Integer> ids = new HashSet<>();
    for (JsonNode panel : read(file).path("panels")) {
      assertTrue(ids.add(panel.path("id").asInt()), panel.toString());
      assertFalse(panel.path("title").asText().isEmpty(), panel.toString());
      assertFalse(panel.path("description").asText().isEmpty(), panel.toString());
      assertFalse(
          panel.path("fieldConfig").path("defaults").path("unit").asText().isEmpty(),
          panel.toString());
    }
  }

  /** Grafana elsewhere calls its Prometheus as it likes. */
  @ParameterizedTest
  @MethodSource("dashboards")
  void theDataSourceIsChosen(Path file) throws Exception {
    JsonNode dashboard = read(file);
    assertEquals(
        "datasource", dashboard.path("templating").path("list").path(0).path("name").asText());
    for (JsonNode source : dashboard.findValues("datasource")) {
      assertEquals("${datasource}", source.path("uid").asText());
    }
  }

  @Test
  void everyMetricIsExposed() throws Exception {
    String rules = Files.readString(Path.of("helm", "guildhall", "files", "rules.yaml"));
    ExposedMetrics exposed = ExposedMetrics.ofServices();
    for (Path file : dashboards().toList()) {
      for (String expression : expressions(file)) {
        assertEquals(Set.of(), exposed.missing(expression, rules), file + ": " + expression);
      }
    }
  }

  /** As rules, which promtool reads; Grafana's variables stand for what they may be. */
  @ParameterizedTest
  @MethodSource("dashboards")
  void everyExpressionIsValid(Path file) throws Exception {
    Tools.need("promtool");
    StringBuilder rules = new StringBuilder("groups:\n- name: dashboard\n  rules:\n");
    int number = 0;
    for (String expression : expressions(file)) {
      rules
          .append("  - record: expression_")
          .append(number++)
          .append("\n    expr: |-\n      ")
          .append(expression.replace("$__rate_interval", "1m"))
          .append('\n');
    }
    Path written = Files.writeString(folder.resolve("rules.yaml"), rules);
    Commands.run(Map.of(), List.of("promtool", "check", "rules", written.toString()));
  }
}
