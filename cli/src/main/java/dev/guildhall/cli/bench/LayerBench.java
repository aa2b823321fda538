package dev.guildhall.cli.bench;

import com.google.gson.JsonObject;
import dev.guildhall.cli.WireDtype;
import dev.guildhall.error.ErrorCode;
import dev.guildhall.error.GuildhallException;
import dev.guildhall.repository.LayerConfig;
import dev.guildhall.repository.LayerRepository;
import dev.guildhall.rpc.Transport;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.ArgGroup;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** {@code guildhall bench layer}. */
@Command(
    name = "layer",
    description = {
      "Serves a layer by a router and expert processes on loopback and drives it.",
      "Beside it, in rounds of the same run: the experts' sessions alone (compute_limit) and a bare"
          + " gRPC ping-pong of the same payload (rpc_floor)."
    },
    mixinStandardHelpOptions = true)
final class LayerBench implements Callable<Integer> {
  private static final int MAX_MESSAGE_BYTES = 256 << 20;

  /** A layer made for the occasion. */
  private static final class Shape {
    @Option(names = "--hidden", description = "Of a random layer. Default: 1024.")
    private int hidden = 1024;

    @Option(names = "--ffn", description = "Of a random layer. Default: 4096.")
    private int ffn = 4096;

    @Option(names = "--experts", description = "Of a random layer. Default: 8.")
    private int experts = 8;

    @Option(names = "--k", description = "Of a random layer. Default: 2.")
    private int k = 2;
  }

  /** A layer that is there. */
  private static final class Stored {
    @Option(
        names = "--repository",
        required = true,
        paramLabel = "DIR",
        description = "Benches a layer of this repository instead of a random one.")
    private Path repository = Path.of(".");

    @Option(names = "--layer", required = true, paramLabel = "NAME", description = "Its name.")
    private String layer = "";

    @Option(
        names = "--target",
        paramLabel = "HOST:PORT",
        description =
            "A running router that serves this layer; no processes are started, and what they"
                + " cost is not known.")
    private @Nullable String target;
  }

  /** One of the two. */
  private static final class Source {
    @ArgGroup(exclusive = false)
    private @Nullable Shape shape;

    @ArgGroup(exclusive = false)
    private @Nullable Stored stored;
  }

  @Spec private @Nullable CommandSpec spec;

  @ArgGroup private @Nullable Source source;

  @Option(
      names = "--dtype",
      defaultValue = "fp32",
      paramLabel = "fp32|bf16|fp16",
      description = "Of the requests' hidden states. Default: ${DEFAULT-VALUE}.")
  private WireDtype dtype = WireDtype.fp32;

  @Option(
      names = "--wire-dtype",
      defaultValue = "fp32",
      paramLabel = "fp32|bf16|fp16",
      description = "Between router and experts. Default: ${DEFAULT-VALUE}.")
  private WireDtype wireDtype = WireDtype.fp32;

  @Option(
      names = "--tokens",
      defaultValue = "256",
      description = "Tokens a request. Default: ${DEFAULT-VALUE}.")
  private int tokens;

  @Option(
      names = "--concurrency",
      defaultValue = "1",
      description = "Requests in flight. Default: ${DEFAULT-VALUE}.")
  private int concurrency;

  @Option(
      names = "--ep-size",
      defaultValue = "2",
      description = "Expert processes. Default: ${DEFAULT-VALUE}.")
  private int epSize;

  @Option(
      names = "--workers",
      paramLabel = "N",
      description =
          "Threads of each expert process that compute. Default: its share of the processors.")
  private @Nullable Integer workers;

  @Option(
      names = "--unix",
      fallbackValue = "true",
      description = "Router and experts meet in Unix domain sockets.")
  private boolean unix;

  @Option(
      names = "--seconds",
      defaultValue = "10",
      description = "Measured, in three rounds. Default: ${DEFAULT-VALUE}.")
  private int seconds;

  @Option(
      names = "--warmup-seconds",
      defaultValue = "120",
      description =
          "Before, at most, until five JVMs have compiled what is hot. Default: ${DEFAULT-VALUE}.")
  private int warmupSeconds;

  @Option(names = "--json", fallbackValue = "true", description = "Prints one JSON object.")
  private boolean json;

  @Override
  public Integer call() throws Exception {
    OptionBounds.atLeast(spec, "--tokens", tokens, 1);
    OptionBounds.atLeast(spec, "--concurrency", concurrency, 1);
    OptionBounds.atLeast(spec, "--seconds", seconds, 1);
    OptionBounds.atLeast(spec, "--ep-size", epSize, 1);
    if (workers != null) {
      OptionBounds.atLeast(spec, "--workers", workers, 1);
    }
    Path folder = Files.createTempDirectory("guildhall-bench-");
    try {
      BenchedLayer layer = layer(folder);
      try (BenchSystem system = system(layer, folder);
          ServiceProcess echo = ServiceProcess.start(List.of("bench", "echo-server"));
          ComputeLimit limit = new ComputeLimit(layer.layer());
          Transport transport = new Transport(1, MAX_MESSAGE_BYTES);
          Connection router = Connection.open(transport, system.target());
          Connection floor = Connection.open(transport, "localhost:" + echo.port("grpc"))) {
        LayerRun run =
            new LayerRun(
                system,
                limit,
                router.channel(),
                floor.channel(),
                concurrency,
                LayerBench::progress);
        List<ServiceProcess> processes = new ArrayList<>(system.processes());
        processes.add(echo);
        WarmUp warmUp = new WarmUp(processes, LayerBench::progress);
        print(layer.layer().config(), measure(warmUp, run, layer));
      }
    } finally {
      delete(folder);
    }
    return 0;
  }

  private LayerReport measure(WarmUp warmUp, LayerRun run, BenchedLayer layer) throws Exception {
    try (BenchedLayer.Request one = layer.request(1, dtype.dtype());
        BenchedLayer.Request request = layer.request(tokens, dtype.dtype())) {
      warmUp.run(() -> run.warmUp(one, request), warmupSeconds);
      return run.measure(request, seconds, bytesPerToken(layer.layer().config()));
    }
  }

  private BenchedLayer layer(Path folder) throws IOException {
    if (source != null && source.stored != null) {
      String name = source.stored.layer;
      LayerRepository repository = LayerRepository.open(source.stored.repository);
      return repository.layers().stream()
          .filter(layer -> layer.name().equals(name))
          .findFirst()
          .map(layer -> new BenchedLayer(repository, layer))
          .orElseThrow(() ->
              new GuildhallException(
                  ErrorCode.NOT_FOUND,
                  "layer \"%s\" is not in %s; there are: %s"
                      .formatted(
                          name,
                          repository.folder(),
                          repository.layers().stream().map(layer -> layer.name()).toList())));
    }
    progress("writing a random layer");
    Shape shape = source == null || source.shape == null ? new Shape() : source.shape;
    new RandomLayer(shape.hidden, shape.ffn, shape.experts, shape.k).write(folder);
    LayerRepository repository = LayerRepository.open(folder);
    return new BenchedLayer(repository, repository.layers().getFirst());
  }

  private BenchSystem system(BenchedLayer layer, Path sockets) throws IOException {
    if (source != null && source.stored != null && source.stored.target != null) {
      return BenchSystem.running(source.stored.target);
    }
    progress("starting a router and %d expert services".formatted(epSize));
    return BenchSystem.start(
        new BenchSystem.Settings(
            layer.repository().folder(),
            epSize,
            workers == null ? shareOfProcessors() : workers,
            unix,
            sockets,
            wireDtype.name()));
  }

  /** With more workers than processors, rows that would merge are computed side by side instead. */
  private int shareOfProcessors() {
    return Math.max(1, Runtime.getRuntime().availableProcessors() / epSize);
  }

  /** Payload there and back: client to router, and router to the experts. */
  private int bytesPerToken(LayerConfig config) {
    int rows = config.k() + (config.hasDenseExpert() ? 1 : 0);
    return 2 * config.hiddenSize() * (dtype.dtype().bytes() + rows * wireDtype.dtype().bytes());
  }

  private void print(LayerConfig config, LayerReport report) {
    if (json) {
      JsonObject object = report.json();
      object.addProperty("hidden", config.hiddenSize());
      object.addProperty("experts", config.numExperts());
      object.addProperty("k", config.k());
      object.addProperty("tokens", tokens);
      object.addProperty("concurrency", concurrency);
      object.addProperty("ep_size", epSize);
      object.addProperty("dtype", dtype.name());
      object.addProperty("wire_dtype", wireDtype.name());
      System.out.println(object);
      return;
    }
    System.out.println(
        "hidden %d, %d experts, k=%d; %d tokens a request, %d in flight"
            .formatted(config.hiddenSize(), config.numExperts(), config.k(), tokens, concurrency));
    report.lines().forEach(System.out::println);
  }

  private static void progress(String what) {
    System.err.println("bench: " + what);
  }

  private static void delete(Path folder) throws IOException {
    try (Stream<Path> files = Files.walk(folder)) {
      for (Path file : files.sorted((a, b) -> b.compareTo(a)).toList()) {
        Files.delete(file);
      }
    }
  }
}
