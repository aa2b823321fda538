package dev.guildhall.cli;

import dev.guildhall.tracing.Tracing;
import dev.guildhall.tracing.TracingOptions;
import java.net.URI;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** Where a server's spans go. */
final class TracingFlags {
  @Option(
      names = "--otlp-endpoint",
      paramLabel = "URL",
      description =
          "Collector of spans that speaks OTLP over HTTP, as http://HOST:4318. Default: no tracing.")
  private @Nullable URI endpoint;

  @Option(
      names = "--trace-ratio",
      defaultValue = "1",
      paramLabel = "R",
      description =
          "Share of the requests that are traced, 0 to 1, where the caller does not say."
              + " Default: ${DEFAULT-VALUE}.")
  private double ratio;

  /**
   * Starts tracing, as asked.
   *
   * @param service its name in traces
   */
  Tracing start(String service) {
    return endpoint == null
        ? Tracing.off()
        : Tracing.start(new TracingOptions(service, endpoint, ratio));
  }
}
