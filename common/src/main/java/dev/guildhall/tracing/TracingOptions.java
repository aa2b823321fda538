package dev.guildhall.tracing;

import dev.guildhall.error.GuildhallException;
import java.net.URI;

/**
 * How spans are made and where they go.
 *
 * @param service its name in traces
 * @param endpoint of a collector that speaks OTLP over HTTP, without the path of traces
 * @param ratio of the requests without a traced caller that are traced, 0 to 1; the others are
 *     traced when their caller is
 */
public record TracingOptions(String service, URI endpoint, double ratio) {

  public TracingOptions {
    String scheme = String.valueOf(endpoint.getScheme());
    if (!scheme.matches("https?") || endpoint.getHost() == null) {
      throw GuildhallException.invalidArgument(
          "otlp-endpoint is \"%s\"; allowed is http://HOST:PORT or https://HOST:PORT"
              .formatted(endpoint));
    }
    if (!(ratio >= 0 && ratio <= 1)) {
      throw GuildhallException.invalidArgument(
          "trace-ratio is %s; allowed is from 0 to 1".formatted(ratio));
    }
  }

  /** Where the collector takes spans. */
  URI traces() {
    String path = String.valueOf(endpoint.getPath());
    return endpoint.resolve(path.endsWith("/") ? path + "v1/traces" : path + "/v1/traces");
  }
}
