package dev.guildhall.deploy;

import com.google.protobuf.ByteString;
import dev.guildhall.expert.ExpertOptions;
import dev.guildhall.expert.ExpertServer;
import dev.guildhall.metrics.Metrics;
import dev.guildhall.onnx.Device;
import dev.guildhall.proto.Dtype;
import dev.guildhall.proto.ForwardRequest;
import dev.guildhall.proto.MoeLayerServiceGrpc;
import dev.guildhall.repository.ExpertParallel;
import dev.guildhall.repository.LayerRepository;
import dev.guildhall.router.RouterOptions;
import dev.guildhall.router.RouterServer;
import dev.guildhall.rpc.Transport;
import io.grpc.ManagedChannel;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/** What services expose once they have served a request, and what expressions ask it for. */
final class ExposedMetrics {
  private static final Pattern METRIC =
      Pattern.compile("\\b((?:guildhall|jvm|process|system)_[a-z_]+)\\b(?:\\{([^}]*)})?");
  private static final Pattern RECORDED =
      Pattern.compile("\\b(?:layer|instance):guildhall_[a-z_:]+\\b(?:\\{([^}]*)})?");
  private static final Pattern GROUPING = Pattern.compile("\\b(?:by|on) \\(([^)]*)\\)");
  private static final Pattern MATCHER = Pattern.compile("(\\w+) *(?:=~|!~|!=|=) *\"");

  /** What Prometheus adds, in compose and in Kubernetes. */
  private static final Set<String> OF_TARGETS = Set.of("namespace", "job", "pod", "instance");

  /** What is there once something has gone wrong. */
  private static final Map<String, Set<String>> LATER =
      Map.of(
          "guildhall_batch_retries_total", Set.of("layer", "status"),
          "guildhall_batch_hedges_total", Set.of("layer"),
          "guildhall_replica_ejections_total", Set.of("replica", "reason"));

  private final Map<String, Set<String>> labels = new HashMap<>(LATER);

  private ExposedMetrics() {}

  /** Of an expert service and a router that have served the example. */
  static ExposedMetrics ofServices() throws Exception {
    ExposedMetrics exposed = new ExposedMetrics();
    LayerRepository layers = LayerRepository.open(Commands.ROOT.resolve("examples/digits"));
    try (Transport transport = new Transport(1, 1 << 20);
        Metrics expertMetrics = new Metrics(0);
        ExpertServer expert =
            ExpertServer.start(
                ExpertOptions.of("expert", ExpertParallel.WHOLE, Device.parse("cpu"), 1),
                layers,
                transport.server(0),
                expertMetrics.registry());
        Metrics routerMetrics = new Metrics(0);
        RouterServer router =
            RouterServer.start(
                RouterOptions.of(List.of("localhost:" + expert.port()), 0),
                layers,
                transport,
                transport::channel,
                routerMetrics.registry())) {
      router.ready().get(30, TimeUnit.SECONDS);
      serveOne(transport, router.port());
      exposed.add(routerMetrics);
      exposed.add(expertMetrics);
    }
    return exposed;
  }

  private static void serveOne(Transport transport, int port) {
    ManagedChannel channel = transport.channel("localhost:" + port);
    try {
      MoeLayerServiceGrpc.newBlockingStub(channel)
          .withDeadlineAfter(30, TimeUnit.SECONDS)
          .forward(
              ForwardRequest.newBuilder()
                  .setLayer("digits")
                  .setDtype(Dtype.DTYPE_FP32)
                  .addAllShape(List.of(1L, 128L))
                  .setHiddenStates(ByteString.copyFrom(new byte[128 * Float.BYTES]))
                  .build());
    } finally {
      channel.shutdownNow();
    }
  }

  private void add(Metrics metrics) throws Exception {
    MetricsPage.read("http://localhost:%d/metrics".formatted(metrics.port()))
        .labels()
        .forEach((metric, keys) -> {
          if (LATER.containsKey(metric)) {
            throw new AssertionError(metric + " is there from the start");
          }
          labels.computeIfAbsent(metric, name -> new HashSet<>()).addAll(keys);
        });
  }

  /** What an expression asks for that no process exposes and no rule records. */
  Set<String> missing(String expression, String rules) {
    Set<String> missing = new TreeSet<>();
    Set<String> known = new HashSet<>(OF_TARGETS);
    Matcher recorded = RECORDED.matcher(expression);
    while (recorded.find()) {
      String name = recorded.group().split("\\{", 2)[0];
      if (!rules.contains("record: " + name)) {
        missing.add(name);
      }
      known.add("layer");
    }
    Matcher metrics = METRIC.matcher(RECORDED.matcher(expression).replaceAll(""));
    while (metrics.find()) {
      Set<String> keys = labels.get(metrics.group(1));
      if (keys == null) {
        missing.add(metrics.group(1));
      } else {
        known.addAll(keys);
        Set<String> asked = matched(metrics.group(2));
        asked.removeAll(keys);
        asked.removeAll(OF_TARGETS);
        asked.forEach(key -> missing.add("%s{%s}".formatted(metrics.group(1), key)));
      }
    }
    Matcher groupings = GROUPING.matcher(expression);
    while (groupings.find()) {
      Arrays.stream(groupings.group(1).split(", *", -1))
          .filter(key -> !known.contains(key))
          .forEach(key -> missing.add(groupings.group()));
    }
    return missing;
  }

  private static Set<String> matched(@Nullable String selector) {
    return selector == null
        ? new HashSet<>()
        : MATCHER
            .matcher(selector)
            .results()
            .map(found -> found.group(1))
            .collect(Collectors.toCollection(HashSet::new));
  }
}
