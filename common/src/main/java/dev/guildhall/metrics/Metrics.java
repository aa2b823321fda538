package dev.guildhall.metrics;

import com.sun.management.ThreadMXBean;
import com.sun.net.httpserver.HttpsConfigurator;
import dev.guildhall.tracing.Tracing;
import io.micrometer.core.instrument.Clock;
import io.micrometer.core.instrument.FunctionCounter;
import io.micrometer.core.instrument.MeterRegistry;
import io.micrometer.core.instrument.binder.jvm.JvmCompilationMetrics;
import io.micrometer.core.instrument.binder.jvm.JvmGcMetrics;
import io.micrometer.core.instrument.binder.jvm.JvmMemoryMetrics;
import io.micrometer.core.instrument.binder.jvm.JvmThreadMetrics;
import io.micrometer.core.instrument.binder.system.FileDescriptorMetrics;
import io.micrometer.core.instrument.binder.system.ProcessorMetrics;
import io.micrometer.core.instrument.binder.system.UptimeMetrics;
import io.micrometer.prometheusmetrics.PrometheusConfig;
import io.micrometer.prometheusmetrics.PrometheusMeterRegistry;
import io.prometheus.metrics.exporter.httpserver.HTTPServer;
import io.prometheus.metrics.model.registry.PrometheusRegistry;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.util.Optional;

/** The meters of a process, with those of its JVM, and the HTTP port that shows them. */
public final class Metrics implements AutoCloseable {
  private final Exemplars exemplars = new Exemplars();
  private final Tracing tracing;
  private final PrometheusMeterRegistry registry;
  private final JvmGcMetrics gcMetrics = new JvmGcMetrics();
  private final HTTPServer server;

  /**
   * Starts serving {@code /metrics} over HTTP.
   *
   * @param port 0 picks a free one
   */
  public Metrics(int port) throws IOException {
    this(port, Optional.empty(), Tracing.off());
  }

  /**
   * Starts serving {@code /metrics}.
   *
   * @param port 0 picks a free one
   * @param https TLS, plain HTTP without
   * @param tracing what exemplars name the spans of; closed by its owner
   */
  public Metrics(int port, Optional<HttpsConfigurator> https, Tracing tracing) throws IOException {
    this.tracing = tracing;
    // Without tracing no meter need look for a span.
    registry =
        new PrometheusMeterRegistry(
            PrometheusConfig.DEFAULT,
            new PrometheusRegistry(),
            Clock.SYSTEM,
            tracing.isOn() ? exemplars.context() : null);
    new JvmCompilationMetrics().bindTo(registry);
    new JvmMemoryMetrics().bindTo(registry);
    new JvmThreadMetrics().bindTo(registry);
    new ProcessorMetrics().bindTo(registry);
    new UptimeMetrics().bindTo(registry);
    new FileDescriptorMetrics().bindTo(registry);
    gcMetrics.bindTo(registry);
    // Micrometer's own figure moves with collections only.
    ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
    FunctionCounter.builder(
            MetricNames.ALLOCATED_BYTES, threads, ThreadMXBean::getTotalThreadAllocatedBytes)
        .register(registry);
    HTTPServer.Builder builder =
        HTTPServer.builder().port(port).registry(registry.getPrometheusRegistry());
    https.ifPresent(builder::httpsConfigurator);
    server = builder.buildAndStart();
  }

  public MeterRegistry registry() {
    return registry;
  }

  /** The figures, and where spans go. */
  public Telemetry telemetry() {
    return new Telemetry(registry, exemplars, tracing);
  }

  public int port() {
    return server.getPort();
  }

  @Override
  public void close() {
    server.close();
    gcMetrics.close();
    registry.close();
  }
}
