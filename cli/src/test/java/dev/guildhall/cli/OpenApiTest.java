package dev.guildhall.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;

import com.fasterxml.jackson.databind.JsonNode;
import com.networknt.schema.Error;
import com.networknt.schema.InputFormat;
import com.networknt.schema.SchemaLocation;
import com.networknt.schema.SchemaRegistry;
import com.networknt.schema.dialect.Dialects;
import io.swagger.v3.core.util.Yaml;
import io.swagger.v3.parser.OpenAPIV3Parser;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** docs/openapi.yaml says what a router answers. */
class OpenApiTest {
  private static final Path DOCUMENT =
      Path.of(System.getProperty("guildhall.home", ".."), "docs", "openapi.yaml");
  private static final String ID = "https://guildhall.example/openapi";
  private static final Set<String> METHODS = Set.of("get", "post", "put", "delete", "patch");

  private static JsonNode document = Yaml.mapper().createObjectNode();
  private static SchemaRegistry schemas = new SchemaRegistry.Builder().build();
  private static ServedSystem system;
  private static HttpClient http;

  @BeforeAll
  static void start() throws Exception {
    document = read();
    schemas =
        SchemaRegistry.withDialect(
            Dialects.getOpenApi31(), builder -> builder.schemas(Map.of(ID, document.toString())));
    system = ServedSystem.start(Digits.repository());
    http = HttpClient.newHttpClient();
  }

  @AfterAll
  static void stop() {
    http.close();
    system.close();
  }

  private static JsonNode read() throws IOException {
    return Yaml.mapper().readTree(DOCUMENT.toFile());
  }

  record Operation(String method, String path) {
    JsonNode node() {
      return document.at("/paths").path(path).path(method);
    }

    @Override
    public String toString() {
      return method + " " + path;
    }
  }

  static List<Operation> operations() throws IOException {
    List<Operation> operations = new ArrayList<>();
    for (Map.Entry<String, JsonNode> path : read().path("paths").properties()) {
      for (Map.Entry<String, JsonNode> method : path.getValue().properties()) {
        if (METHODS.contains(method.getKey())) {
          operations.add(new Operation(method.getKey(), path.getKey()));
        }
      }
    }
    return operations;
  }

  @Test
  void isRightOpenApi() {
    assertEquals(
        List.of(),
        new OpenAPIV3Parser().readLocation(DOCUMENT.toString(), null, null).getMessages());
  }

  @Test
  void namesEveryOperation() throws IOException {
    assertEquals(11, operations().size());
  }

  @ParameterizedTest
  @MethodSource("operations")
  void answersAreAsItSays(Operation operation) throws Exception {
    assertAsItSays(operation, ask(operation, "digits"));
  }

  @ParameterizedTest
  @MethodSource("operations")
  void errorsAreAsItSays(Operation operation) throws Exception {
    if (operation.path().contains("{model}")) {
      HttpResponse<String> response = ask(operation, "nothing");
      assertFalse(response.statusCode() == 200, response.body());
      assertAsItSays(operation, response);
    }
  }

  private static HttpResponse<String> ask(Operation operation, String model) throws Exception {
    JsonNode body =
        resolved(operation.node().path("requestBody")).at("/content/application~1json/example");
    URI uri =
        URI.create(
            "http://localhost:%d%s"
                .formatted(system.httpPort(), operation.path().replace("{model}", model)));
    return http.send(
        HttpRequest.newBuilder(uri)
            .timeout(Duration.ofSeconds(30))
            .method(
                operation.method().toUpperCase(Locale.ROOT),
                body.isMissingNode()
                    ? HttpRequest.BodyPublishers.noBody()
                    : HttpRequest.BodyPublishers.ofString(body.toString()))
            .build(),
        HttpResponse.BodyHandlers.ofString());
  }

  private static void assertAsItSays(Operation operation, HttpResponse<String> response) {
    JsonNode responses = operation.node().path("responses");
    String status = Integer.toString(response.statusCode());
    String said = responses.has(status) ? status : "default";
    assertFalse(responses.path(said).isMissingNode(), status + " is not foreseen");
    String pointer =
        responses.path(said).has("$ref")
            ? responses.path(said).path("$ref").asText().substring(1)
            : "/paths/%s/%s/responses/%s"
                .formatted(operation.path().replace("/", "~1"), operation.method(), said);
    pointer += "/content/application~1json/schema";
    if (document.at(pointer).isMissingNode()) {
      assertEquals("", response.body());
      return;
    }
    List<Error> wrong =
        schemas
            .getSchema(
                SchemaLocation.of(ID + "#" + pointer.replace("{", "%7B").replace("}", "%7D")))
            .validate(response.body(), InputFormat.JSON);
    assertEquals(List.of(), wrong, response.body());
  }

  private static JsonNode resolved(JsonNode node) {
    return node.has("$ref") ? document.at(node.path("$ref").asText().substring(1)) : node;
  }
}
