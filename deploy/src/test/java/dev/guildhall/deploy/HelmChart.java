package dev.guildhall.deploy;

import static org.junit.jupiter.api.Assertions.assertEquals;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.dataformat.yaml.YAMLFactory;
import io.fabric8.kubernetes.api.model.HasMetadata;
import io.fabric8.kubernetes.client.utils.KubernetesSerialization;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;

/** The chart as helm renders it. */
record HelmChart(List<HasMetadata> objects) {
  /** Where the chart is. */
  static final String CHART = "deploy/helm/guildhall";

  private static final String CLAIM = "models.persistentVolumeClaim=models";
  private static final ObjectMapper YAML = new ObjectMapper(new YAMLFactory());

  /**
   * Renders the chart, with a claim that holds the models.
   *
   * @param values as {@code --set} takes them
   * @throws IllegalStateException with what helm says, if it refuses them
   */
  static HelmChart render(String... values) throws IOException, ReflectiveOperationException {
    List<String> flags = new ArrayList<>(List.of("--set", CLAIM));
    for (String value : values) {
      flags.add("--set");
      flags.add(value);
    }
    return template(flags);
  }

  /** The same with a file of values. */
  static HelmChart renderFile(Path values) throws IOException, ReflectiveOperationException {
    return template(List.of("--set", CLAIM, "--values", values.toString()));
  }

  private static HelmChart template(List<String> flags)
      throws IOException, ReflectiveOperationException {
    List<String> command = new ArrayList<>(List.of("helm", "template", "release", CHART));
    command.addAll(flags);
    String rendered = Commands.run(Map.of(), command);
    KubernetesSerialization typed = new KubernetesSerialization();
    List<HasMetadata> objects = new ArrayList<>();
    for (JsonNode document :
        YAML.readerFor(JsonNode.class).<JsonNode>readValues(rendered).readAll()) {
      if (document.isObject()) {
        HasMetadata object = typed.unmarshal(document.toString());
        String name = object.getKind() + " " + object.getMetadata().getName();
        assertEquals(List.of(), UnknownFields.in(object, name));
        objects.add(object);
      }
    }
    return new HelmChart(objects);
  }

  static String lint() throws IOException {
    return Commands.run(Map.of(), List.of("helm", "lint", "--strict", "--set", CLAIM, CHART));
  }

  <T extends HasMetadata> Stream<T> all(Class<T> type) {
    return objects.stream().filter(type::isInstance).map(type::cast);
  }
}
