package dev.guildhall.tracing;

import static java.util.Objects.requireNonNull;

import io.opentelemetry.api.common.Attributes;
import io.opentelemetry.api.trace.Span;
import io.opentelemetry.api.trace.SpanKind;
import io.opentelemetry.api.trace.Tracer;
import io.opentelemetry.api.trace.propagation.W3CTraceContextPropagator;
import io.opentelemetry.context.Context;
import io.opentelemetry.context.propagation.TextMapGetter;
import io.opentelemetry.exporter.otlp.http.trace.OtlpHttpSpanExporter;
import io.opentelemetry.sdk.resources.Resource;
import io.opentelemetry.sdk.trace.SdkTracerProvider;
import io.opentelemetry.sdk.trace.export.BatchSpanProcessor;
import io.opentelemetry.sdk.trace.export.SpanExporter;
import io.opentelemetry.sdk.trace.samplers.Sampler;
import java.time.Duration;
import java.time.Instant;
import java.util.Optional;
import java.util.UUID;
import java.util.concurrent.TimeUnit;

/**
 * Makes spans and sends them to a collector, or does nothing. Thread-safe; nothing here blocks but
 * {@link #close}: what the collector does not take in time is dropped.
 */
public final class Tracing implements AutoCloseable {
  private static final String SCOPE = "dev.guildhall";

  /** Spans that wait for the collector; beyond them new ones are dropped. */
  private static final int MAX_QUEUED_SPANS = 8192;

  private static final Duration EXPORT_INTERVAL = Duration.ofSeconds(1);
  private static final Duration EXPORT_TIMEOUT = Duration.ofSeconds(5);

  /** For what is queued when the process ends. */
  private static final Duration FLUSH_TIMEOUT = Duration.ofSeconds(3);

  private static final TextMapGetter<TraceContext> FIELDS =
      (caller, field) ->
          switch (field) {
            case TraceContext.TRACEPARENT -> requireNonNull(caller).traceparent();
            case TraceContext.TRACESTATE -> requireNonNull(caller).tracestate();
            default -> null;
          };

  private record Running(SdkTracerProvider provider, Tracer tracer) {}

  private final Optional<Running> running;

  private Tracing(Optional<Running> running) {
    this.running = running;
  }

  /** Makes no spans. */
  public static Tracing off() {
    return new Tracing(Optional.empty());
  }

  /**
   * Starts to send spans; whether there is a collector shows later, in the log.
   *
   * @throws dev.guildhall.error.GuildhallException if the options are not right
   */
  public static Tracing start(TracingOptions options) {
    SpanExporter exporter =
        OtlpHttpSpanExporter.builder()
            .setEndpoint(options.traces().toString())
            .setTimeout(EXPORT_TIMEOUT)
            .build();
    Attributes attributes =
        Attributes.builder()
            .put("service.name", options.service())
            .put("service.instance.id", UUID.randomUUID().toString())
            .build();
    SdkTracerProvider provider =
        SdkTracerProvider.builder()
            .setResource(Resource.getDefault().merge(Resource.create(attributes)))
            .setSampler(Sampler.parentBased(Sampler.traceIdRatioBased(options.ratio())))
            .addSpanProcessor(
                BatchSpanProcessor.builder(exporter)
                    .setMaxQueueSize(MAX_QUEUED_SPANS)
                    .setScheduleDelay(EXPORT_INTERVAL)
                    .setExporterTimeout(EXPORT_TIMEOUT)
                    .build())
            .build();
    return new Tracing(Optional.of(new Running(provider, provider.get(SCOPE))));
  }

  /** Whether any request may have a span. */
  public boolean isOn() {
    return running.isPresent();
  }

  /**
   * Begins the span of a request that comes from outside.
   *
   * @param name of its method
   * @param caller whose decision to sample counts, if it has made one
   */
  public TraceSpan request(String name, TraceContext caller) {
    return running.isEmpty() ? TraceSpan.NONE : begin(running.get(), name, parent(caller));
  }

  /**
   * Begins the span of work for a span of another process.
   *
   * @param caller as {@link TraceSpan#context} said there; nothing is begun unless it is sampled
   */
  public TraceSpan remote(String name, TraceContext caller) {
    if (running.isEmpty()) {
      return TraceSpan.NONE;
    }
    Context parent = parent(caller);
    return Span.fromContext(parent).getSpanContext().isSampled()
        ? begin(running.get(), name, parent)
        : TraceSpan.NONE;
  }

  private static Context parent(TraceContext caller) {
    return caller.isEmpty()
        ? Context.root()
        : W3CTraceContextPropagator.getInstance().extract(Context.root(), caller, FIELDS);
  }

  private static TraceSpan begin(Running running, String name, Context parent) {
    // Taken together, since what is timed by nanoTime is put on the same line.
    long nanoTime = System.nanoTime();
    long epochNanos = epochNanos();
    Span span =
        running
            .tracer()
            .spanBuilder(name)
            .setParent(parent)
            .setSpanKind(SpanKind.SERVER)
            .setStartTimestamp(epochNanos, TimeUnit.NANOSECONDS)
            .startSpan();
    return new TraceSpan(running.tracer(), span, true, epochNanos - nanoTime);
  }

  private static long epochNanos() {
    Instant now = Instant.now();
    return TimeUnit.SECONDS.toNanos(now.getEpochSecond()) + now.getNano();
  }

  /** Sends what is queued, for a few seconds at most, and ends. */
  @Override
  public void close() {
    running.ifPresent(
        open -> open.provider().shutdown().join(FLUSH_TIMEOUT.toMillis(), TimeUnit.MILLISECONDS));
  }
}
