package dev.guildhall.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import dev.guildhall.cli.TraceCollector.Received;
import dev.guildhall.proto.ForwardRequest;
import dev.guildhall.proto.ForwardResponse;
import dev.guildhall.proto.MoeLayerServiceGrpc;
import dev.guildhall.rpc.Transport;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.MetadataUtils;
import io.grpc.stub.StreamObserver;
import io.opentelemetry.proto.trace.v1.Span.SpanKind;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A router and two expert processes that send their spans to one collector, and log in JSON. */
class TracedProcessesTest {
  /** Of the caller, which has traced and sampled its own call. */
  private static final String PARENT = "00f067aa0ba902b7";

  private static final String STATE = "vendor=1";

  private static final String INFER = "POST /v2/models/{model}/infer";

  private static final int TOKENS = 32;

  @TempDir private static Path folder;

  private static TraceCollector collector;
  private static final List<CommandProcess> processes = new ArrayList<>();
  private static CommandProcess router;
  private static Transport transport;
  private static ManagedChannel channel;

  @BeforeAll
  static void start() throws Exception {
    collector = TraceCollector.start();
    List<String> targets = new ArrayList<>();
    for (int rank = 0; rank < 2; rank++) {
      CommandProcess expert =
          CommandProcess.start(
              folder,
              "expert",
              "--repository=" + Digits.REPOSITORY,
              "--ep-rank=" + rank,
              "--ep-size=2",
              "--port=0",
              "--metrics-port=0",
              "--log-format=json",
              "--otlp-endpoint=" + collector.endpoint());
      processes.add(expert);
      targets.add("localhost:" + expert.port("grpc"));
    }
    router =
        CommandProcess.start(
            folder,
            "router",
            "--repository=" + Digits.REPOSITORY,
            "--experts=" + String.join(",", targets),
            "--port=0",
            "--metrics-port=0",
            "--log-format=json",
            "--slow-request-ms=0",
            "--otlp-endpoint=" + collector.endpoint() + "/",
            "--trace-ratio=0");
    processes.add(router);
    transport = new Transport(1, 1 << 20);
    channel = transport.channel("localhost:" + router.port("grpc"));
  }

  @AfterAll
  static void stop() {
    channel.shutdownNow();
    transport.close();
    processes.forEach(CommandProcess::close);
    collector.close();
  }

  private static String traceId(int number) {
    return "4bf92f3577b34da6a3ce929d0e0e%04x".formatted(number);
  }

  private static String traceparent(int number) {
    return "00-%s-%s-01".formatted(traceId(number), PARENT);
  }

  private static ForwardRequest.Builder request(long seed) {
    return Requests.random(Digits.LAYER, TOKENS, Digits.HIDDEN_SIZE, seed);
  }

  private static MoeLayerServiceGrpc.MoeLayerServiceBlockingStub client(String traceparent) {
    return MoeLayerServiceGrpc.newBlockingStub(channel)
        .withDeadlineAfter(30, TimeUnit.SECONDS)
        .withInterceptors(MetadataUtils.newAttachHeadersInterceptor(header(traceparent)));
  }

  private static Metadata header(String traceparent) {
    Metadata headers = new Metadata();
    headers.put(Metadata.Key.of("traceparent", Metadata.ASCII_STRING_MARSHALLER), traceparent);
    headers.put(Metadata.Key.of("tracestate", Metadata.ASCII_STRING_MARSHALLER), STATE);
    return headers;
  }

  @Test
  void aUnaryCallIsOneTrace() {
    client(traceparent(1)).forward(request(1).setId(41).build());
    List<Received> trace = assertOneTrace(1, "guildhall.v1.MoeLayerService/Forward");
    Received request = named(trace, "guildhall.v1.MoeLayerService/Forward").getFirst();
    assertEquals("grpc", request.tags().get("rpc.system.name"));
    assertEquals(Digits.LAYER, request.tags().get("guildhall.layer"));
    assertEquals(Integer.toString(TOKENS), request.tags().get("guildhall.tokens"));
    Received dispatch = named(trace, "dispatch").getFirst();
    assertEquals("1", dispatch.tags().get("guildhall.attempt"));
    assertEquals("guildhall.v1.ExpertService/Exchange", dispatch.tags().get("rpc.method"));
  }

  @Test
  void aRequestOfAStreamIsOneTrace() throws Exception {
    CompletableFuture<ForwardResponse> answer = new CompletableFuture<>();
    StreamObserver<ForwardRequest> requests =
        MoeLayerServiceGrpc.newStub(channel)
            .withInterceptors(MetadataUtils.newAttachHeadersInterceptor(header(traceparent(2))))
            .forwardStream(first(answer));
    requests.onNext(request(2).setId(1).build());
    answer.get(30, TimeUnit.SECONDS);
    assertOneTrace(2, "guildhall.v1.MoeLayerService/ForwardStream");
    requests.onNext(
        request(3).setId(2).setTraceparent(traceparent(3)).setTracestate(STATE).build());
    assertOneTrace(3, "guildhall.v1.MoeLayerService/ForwardStream");
    requests.onCompleted();
  }

  private static StreamObserver<ForwardResponse> first(CompletableFuture<ForwardResponse> answer) {
    return new StreamObserver<>() {
      @Override
      public void onNext(ForwardResponse response) {
        answer.complete(response);
      }

      @Override
      public void onError(Throwable failure) {
        answer.completeExceptionally(failure);
      }

      @Override
      public void onCompleted() {}
    };
  }

  @Test
  void aRestRequestIsOneTrace() throws Exception {
    String values = String.join(",", Collections.nCopies(TOKENS * Digits.HIDDEN_SIZE, "0.5"));
    assertEquals(200, infer(4, TOKENS, Digits.HIDDEN_SIZE, values));
    // Tokens that are all alike go to the same experts.
    Await.until(
        "the whole trace",
        () -> names(4).containsAll(List.of("combine", "compute", "batch", INFER)));
    Received request = named(collector.trace(traceId(4)), INFER).getFirst();
    assertEquals(PARENT, request.parent());
    assertEquals(STATE, request.state());
    // Known once the answer is written.
    assertEquals("200", request.tags().get("http.response.status_code"));
  }

  @Test
  void aRestRequestThatIsRefusedSaysWhy() throws Exception {
    assertEquals(400, infer(10, 1, 1, "0.5"));
    Await.until("the span", () -> !collector.trace(traceId(10)).isEmpty());
    Received span = collector.trace(traceId(10)).getFirst();
    assertFalse(span.failed(), "it is the caller's doing");
    assertEquals("INVALID_ARGUMENT", span.tags().get("error.type"));
    assertEquals("400", span.tags().get("http.response.status_code"));
  }

  /** The status of a REST request. */
  private static int infer(int number, int tokens, int width, String values) throws Exception {
    String body =
        """
        {"id": "mine", "inputs": [{"name": "hidden_states", "shape": [%d, %d],
         "datatype": "FP32", "data": [%s]}]}\
        """
            .formatted(tokens, width, values);
    try (HttpClient http = HttpClient.newHttpClient()) {
      Rest rest = new Rest(http, "http://localhost:" + router.port("http"));
      HttpRequest.Builder post =
          rest.request("/v2/models/digits/infer")
              .header("traceparent", traceparent(number))
              .header("tracestate", STATE)
              .POST(BodyPublishers.ofString(body));
      return rest.send(post).statusCode();
    }
  }

  private static Set<String> names(int number) {
    return collector.trace(traceId(number)).stream()
        .map(Received::name)
        .collect(Collectors.toSet());
  }

  private static List<Received> named(List<Received> trace, String name) {
    return trace.stream().filter(span -> span.name().equals(name)).toList();
  }

  /** The request's span below the caller's, and everything else below it. */
  private static List<Received> assertOneTrace(int number, String method) {
    // One, the gate, the combine; and of each of two replicas dispatch, batch, queue and compute.
    Await.until("the whole trace", () -> collector.trace(traceId(number)).size() == 1 + 2 + 2 * 4);
    List<Received> trace = collector.trace(traceId(number));
    Received request = named(trace, method).getFirst();
    assertEquals(PARENT, request.parent());
    assertEquals(SpanKind.SPAN_KIND_SERVER, request.kind());
    assertEquals("guildhall-router", request.service());
    for (String part : List.of("gate", "dispatch", "combine")) {
      named(trace, part).forEach(span -> assertEquals(request.id(), span.parent(), part));
    }
    List<Received> dispatches = named(trace, "dispatch");
    assertEquals(2, dispatches.size());
    assertEquals(2, tags(dispatches, "guildhall.replica").size());
    List<Received> batches = named(trace, "batch");
    assertEquals(2, batches.size());
    for (Received batch : batches) {
      assertEquals("guildhall-expert", batch.service());
      assertEquals(SpanKind.SPAN_KIND_SERVER, batch.kind());
      Received dispatch =
          dispatches.stream()
              .filter(span -> span.id().equals(batch.parent()))
              .findFirst()
              .orElseThrow();
      assertEquals(SpanKind.SPAN_KIND_CLIENT, dispatch.kind());
      assertEquals(dispatch.tags().get("guildhall.rows"), batch.tags().get("guildhall.rows"));
    }
    for (String part : List.of("queue", "compute")) {
      assertEquals(
          batches.stream().map(Received::id).collect(Collectors.toSet()),
          named(trace, part).stream().map(Received::parent).collect(Collectors.toSet()));
    }
    assertTrue(trace.stream().noneMatch(Received::failed), trace::toString);
    assertTrue(trace.stream().allMatch(span -> span.state().equals(STATE)), trace::toString);
    return trace;
  }

  private static Set<String> tags(List<Received> spans, String name) {
    return spans.stream().map(span -> span.tags().get(name)).collect(Collectors.toSet());
  }

  @Test
  void aRequestThatIsRefusedSaysWhy() {
    ForwardRequest wrong = request(5).setLayer("no such layer").build();
    assertThrows(StatusRuntimeException.class, () -> client(traceparent(5)).forward(wrong));
    Await.until("the span", () -> !collector.trace(traceId(5)).isEmpty());
    Received span = collector.trace(traceId(5)).getFirst();
    assertFalse(span.failed(), "it is the caller's doing");
    assertEquals("NOT_FOUND", span.tags().get("error.type"));
  }

  @Test
  void whatIsNotSampledSendsNothing() {
    client("00-%s-%s-00".formatted(traceId(6), PARENT)).forward(request(6).build());
    client("wrong").forward(request(6).build());
    // Spans go out in the order in which they end: once this one is there the others would be.
    client(traceparent(7)).forward(request(7).build());
    assertOneTrace(7, "guildhall.v1.MoeLayerService/Forward");
    assertEquals(List.of(), collector.trace(traceId(6)));
    assertTrue(
        collector.spans().stream().allMatch(span -> span.traceId().startsWith("4bf92f3577b34da6")),
        "a trace of the router's own with --trace-ratio=0");
  }

  @Test
  void exemplarsNameTheTraceWhereOpenMetricsIsAskedFor() throws Exception {
    client(traceparent(8)).forward(request(8).build());
    Await.until("the trace", () -> !collector.trace(traceId(8)).isEmpty());
    String openMetrics = metrics("application/openmetrics-text");
    String exemplars =
        openMetrics
            .lines()
            .filter(line -> line.startsWith("guildhall_request_duration_seconds_bucket"))
            .filter(line -> line.contains("trace_id=\"4bf92f3577b34da6"))
            .collect(Collectors.joining("\n"));
    assertFalse(exemplars.isEmpty(), openMetrics);
    assertFalse(metrics("text/plain").contains("trace_id"));
  }

  private static String metrics(String accept) throws Exception {
    try (HttpClient http = HttpClient.newHttpClient()) {
      Rest rest = new Rest(http, "http://localhost:" + router.port("metrics"));
      HttpResponse<String> page =
          http.send(
              rest.request("/metrics").header("Accept", accept).build(), BodyHandlers.ofString());
      assertTrue(
          page.headers().firstValue("Content-Type").orElse("").startsWith(accept),
          page.headers()::toString);
      return page.body();
    }
  }

  @Test
  void theLogIsJsonAndHasTheIdsOfSlowRequests() throws Exception {
    client(traceparent(9)).forward(request(9).setId(17).build());
    // One a second: the next slow request that may be logged names those that were left out.
    Await.until(
        "a slow request in the log",
        () -> {
          client(traceparent(9)).forward(request(9).setId(17).build());
          return slowRequests().stream().anyMatch(line -> ids(line).equals("17 " + traceId(9)));
        });
    JsonObject line = slowRequests().getLast();
    String message = line.get("formattedMessage").getAsString();
    for (String part :
        List.of("router queue ", "gate ", "exchange ", "its queue ", "its experts ", "combine ")) {
      assertTrue(message.contains(part), message);
    }
    assertEquals("WARN", line.get("level").getAsString());
    processes.forEach(process ->
        assertTrue(
            process.err().lines().allMatch(text -> JsonParser.parseString(text).isJsonObject())));
  }

  private static List<JsonObject> slowRequests() {
    return router
        .err()
        .lines()
        .map(line -> JsonParser.parseString(line).getAsJsonObject())
        .filter(
            line -> line.get("formattedMessage").getAsString().startsWith("slow request to layer"))
        .toList();
  }

  private static String ids(JsonObject line) {
    JsonObject ids = line.getAsJsonObject("mdc");
    return ids.has("request_id") && ids.has("trace_id")
        ? "%s %s".formatted(ids.get("request_id").getAsString(), ids.get("trace_id").getAsString())
        : "";
  }
}
