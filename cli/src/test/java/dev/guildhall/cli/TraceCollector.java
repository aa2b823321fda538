package dev.guildhall.cli;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import io.opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest;
import io.opentelemetry.proto.common.v1.AnyValue;
import io.opentelemetry.proto.common.v1.KeyValue;
import io.opentelemetry.proto.trace.v1.ResourceSpans;
import io.opentelemetry.proto.trace.v1.ScopeSpans;
import io.opentelemetry.proto.trace.v1.Span;
import java.io.IOException;
import java.io.InputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Collectors;
import java.util.zip.GZIPInputStream;

/** An OpenTelemetry collector on a free port, which keeps what it is sent, or never answers. */
final class TraceCollector implements AutoCloseable {

  /** A span that has come. */
  record Received(
      String service,
      String name,
      String traceId,
      String id,
      String parent,
      String state,
      Span.SpanKind kind,
      boolean failed,
      int links,
      Map<String, String> tags) {}

  private final HttpServer server;
  private final ExecutorService threads = Executors.newVirtualThreadPerTaskExecutor();
  private final ConcurrentLinkedQueue<Received> spans = new ConcurrentLinkedQueue<>();
  private final AtomicInteger requests = new AtomicInteger();
  private final Optional<CountDownLatch> silence;

  private TraceCollector(Optional<CountDownLatch> silence) throws IOException {
    this.silence = silence;
    server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
    server.setExecutor(threads);
    server.createContext("/v1/traces", this::take);
    server.start();
  }

  static TraceCollector start() throws IOException {
    return new TraceCollector(Optional.empty());
  }

  /** Takes connections and requests, and says nothing until it is closed. */
  static TraceCollector silent() throws IOException {
    return new TraceCollector(Optional.of(new CountDownLatch(1)));
  }

  private void take(HttpExchange exchange) throws IOException {
    requests.incrementAndGet();
    try (exchange) {
      if (silence.isPresent()) {
        silence.get().await();
        return;
      }
      boolean packed = "gzip".equals(exchange.getRequestHeaders().getFirst("Content-Encoding"));
      try (InputStream body = exchange.getRequestBody();
          InputStream plain = packed ? new GZIPInputStream(body) : body) {
        ExportTraceServiceRequest.parseFrom(plain).getResourceSpansList().forEach(this::keep);
      }
      exchange.sendResponseHeaders(200, -1);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }

  private void keep(ResourceSpans process) {
    String service = tags(process.getResource().getAttributesList()).get("service.name");
    for (ScopeSpans scope : process.getScopeSpansList()) {
      for (Span span : scope.getSpansList()) {
        HexFormat hex = HexFormat.of();
        spans.add(
            new Received(
                String.valueOf(service),
                span.getName(),
                hex.formatHex(span.getTraceId().toByteArray()),
                hex.formatHex(span.getSpanId().toByteArray()),
                hex.formatHex(span.getParentSpanId().toByteArray()),
                span.getTraceState(),
                span.getKind(),
                span.getStatus().getCodeValue() == 2,
                span.getLinksCount(),
                tags(span.getAttributesList())));
      }
    }
  }

  private static Map<String, String> tags(List<KeyValue> attributes) {
    return attributes.stream()
        .collect(Collectors.toMap(KeyValue::getKey, tag -> text(tag.getValue())));
  }

  private static String text(AnyValue value) {
    return switch (value.getValueCase()) {
      case INT_VALUE -> Long.toString(value.getIntValue());
      case BOOL_VALUE -> Boolean.toString(value.getBoolValue());
      case STRING_VALUE -> value.getStringValue();
      default -> value.toString();
    };
  }

  String endpoint() {
    return "http://localhost:" + server.getAddress().getPort();
  }

  /** Requests that have come, answered or not. */
  int requests() {
    return requests.get();
  }

  /** What has come of a trace so far. */
  List<Received> trace(String traceId) {
    return spans.stream().filter(span -> span.traceId().equals(traceId)).toList();
  }

  /** Everything that has come so far. */
  List<Received> spans() {
    return List.copyOf(spans);
  }

  @Override
  public void close() {
    silence.ifPresent(CountDownLatch::countDown);
    server.stop(0);
    threads.shutdownNow();
  }
}
