package dev.guildhall.cli.chaos;

import static org.junit.jupiter.api.Assertions.assertEquals;

import com.google.gson.Gson;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** What a row measured: a line on stdout, and one of JSON in target/chaos/results.jsonl. */
final class Report {
  private static final Path RESULTS = Path.of("target", "chaos", "results.jsonl");

  private final Map<String, Object> values = new LinkedHashMap<>();
  private final List<Phase> phases = new ArrayList<>();

  Report(String row) {
    values.put("row", row);
    values.put("scale", Durations.SCALE);
  }

  Report with(String name, Object value) {
    values.put(name, value instanceof Double number ? Math.round(number * 1000) / 1000.0 : value);
    return this;
  }

  Report with(Phase phase) {
    phases.add(phase);
    String prefix = phase.name().replace(' ', '_');
    return with(prefix + "_seconds", phase.seconds())
        .with(prefix + "_answers", phase.answers())
        .with(prefix + "_failures", phase.failuresByKind())
        .with(prefix + "_p50_ms", phase.millis(50))
        .with(prefix + "_p99_ms", phase.millis(99))
        .with(prefix + "_max_ms", phase.millis(100));
  }

  void publish() throws IOException {
    StringBuilder line = new StringBuilder("chaos");
    values.forEach((name, value) -> line.append(' ').append(name).append('=').append(value));
    System.out.println(line);
    phases.stream().flatMap(phase -> phase.examples().stream()).forEach(System.out::println);
    Files.createDirectories(RESULTS.getParent());
    Files.writeString(
        RESULTS,
        new Gson().toJson(values) + "\n",
        StandardOpenOption.CREATE,
        StandardOpenOption.APPEND);
  }

  /** No request failed or was answered otherwise in any of the phases. */
  void assertNothingFailed() {
    for (Phase phase : phases) {
      assertEquals(0, phase.failures(), () -> phase + " " + phase.examples());
    }
  }
}
