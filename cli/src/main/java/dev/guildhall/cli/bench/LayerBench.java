package dev.guildhall.cli.bench;

import com.google.gson.JsonObject;
import com.sun.management.OperatingSystemMXBean;
import dev.guildhall.onnx.ProjectionTensors;
import dev.guildhall.proto.DType;
import dev.guildhall.proto.ForwardRequest;
import dev.guildhall.repository.Layer;
import dev.guildhall.repository.LayerRepository;
import dev.guildhall.repository.LayerWeights;
import dev.guildhall.router.gate.Gate;
import dev.guildhall.router.gate.Routing;
import dev.guildhall.router.gate.SeededNoise;
import dev.guildhall.router.gate.UsedTokens;
import dev.guildhall.router.projection.Projection;
import dev.guildhall.rpc.Buffers;
import dev.guildhall.rpc.Transport;
import io.grpc.ManagedChannel;
import io.netty.buffer.ByteBuf;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.Callable;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** {@code guildhall bench layer}. */
@Command(
    name = "layer",
    description = {
      "Serves a random layer by a router and expert processes on loopback and drives it.",
      "Beside it, in rounds of the same run: the experts' sessions alone (compute_limit) and a bare"
          + " gRPC ping-pong of the same payload (rpc_floor)."
    },
    mixinStandardHelpOptions = true)
final class LayerBench implements Callable<Integer> {
  private static final int MAX_MESSAGE_BYTES = 256 << 20;
  private static final int ROUNDS = 3;

  @Option(names = "--hidden", defaultValue = "1024", description = "Default: ${DEFAULT-VALUE}.")
  private int hidden;

  @Option(names = "--ffn", defaultValue = "4096", description = "Default: ${DEFAULT-VALUE}.")
  private int ffn;

  @Option(names = "--experts", defaultValue = "8", description = "Default: ${DEFAULT-VALUE}.")
  private int experts;

  @Option(names = "--k", defaultValue = "2", description = "Default: ${DEFAULT-VALUE}.")
  private int k;

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

  @Option(names = "--unix", description = "Router and experts meet in Unix domain sockets.")
  private boolean unix;

  @Option(
      names = "--wire-dtype",
      defaultValue = "fp32",
      description = "Between router and experts. Default: ${DEFAULT-VALUE}.")
  private String wireDtype = "fp32";

  @Option(
      names = "--seconds",
      defaultValue = "10",
      description = "Measured, in three rounds. Default: ${DEFAULT-VALUE}.")
  private int seconds;

  @Option(
      names = "--warmup-seconds",
      defaultValue = "8",
      description = "Before, for the compilers. Default: ${DEFAULT-VALUE}.")
  private int warmupSeconds;

  @Option(names = "--json", description = "Prints one JSON object.")
  private boolean json;

  @Override
  public Integer call() throws Exception {
    RandomLayer shape = new RandomLayer(hidden, ffn, experts, k);
    Path repository = Files.createTempDirectory("guildhall-bench-");
    try {
      progress("writing a random layer");
      shape.write(repository);
      Layer layer = LayerRepository.open(repository).layers().getFirst();
      float[] hiddenStates = RandomLayer.hiddenStates(tokens, hidden, 2);
      ByteBuf payload = LayerLoad.payload(hiddenStates);
      Routing routing = route(layer, payload);
      progress("starting a router and %d expert services".formatted(epSize));
      try (BenchSystem system = BenchSystem.start(repository, epSize, unix, wireDtype);
          ServiceProcess echo = ServiceProcess.start(List.of("bench", "echo-server"));
          ComputeLimit limit = new ComputeLimit(layer);
          Transport transport = new Transport(1, MAX_MESSAGE_BYTES);
          Connection router = Connection.open(transport, system.target());
          Connection floor = Connection.open(transport, "localhost:" + echo.port("grpc"))) {
        print(measure(system, limit, routing, router.channel(), floor.channel(), payload));
      } finally {
        payload.release();
      }
    } finally {
      delete(repository);
    }
    return 0;
  }

  /** The routes that the router will choose, by the same gate. */
  private static Routing route(Layer layer, ByteBuf hiddenStates) {
    int hiddenSize = layer.config().hiddenSize();
    int tokens = hiddenStates.readableBytes() / (hiddenSize * Float.BYTES);
    try (LayerWeights weights = LayerWeights.open(layer);
        Projection projection =
            new Projection(
                new ProjectionTensors(
                    weights.gate(), Optional.empty(), hiddenSize, layer.config().numExperts()))) {
      float[] logits = projection.gate(Buffers.segment(hiddenStates), tokens);
      return new Gate(layer.config())
          .route(logits, tokens, false, UsedTokens.ALL, new SeededNoise(0));
    }
  }

  private LayerReport measure(
      BenchSystem system,
      ComputeLimit limit,
      Routing routing,
      ManagedChannel router,
      ManagedChannel floor,
      ByteBuf payload)
      throws Exception {
    ForwardRequest header =
        ForwardRequest.newBuilder()
            .setLayer(RandomLayer.NAME)
            .setDtype(DType.DTYPE_FP32)
            .addShape(tokens)
            .addShape(hidden)
            .build();
    progress("warming up for %d s".formatted(warmupSeconds));
    long warmupNanos = TimeUnit.SECONDS.toNanos(warmupSeconds);
    RpcFloor.run(floor, payload, warmupNanos / 4);
    limit.run(routing, concurrency, warmupNanos / 4);
    LayerLoad.run(router, header, payload, concurrency, warmupNanos / 2);

    long roundNanos = TimeUnit.SECONDS.toNanos(seconds) / ROUNDS;
    List<Load> limits = new ArrayList<>();
    List<Load> floors = new ArrayList<>();
    List<Load> served = new ArrayList<>();
    double cpuNanos = 0;
    double allocated = 0;
    for (int round = 1; round <= ROUNDS; round++) {
      progress("round %d of %d".formatted(round, ROUNDS));
      limits.add(limit.run(routing, concurrency, roundNanos));
      floors.add(RpcFloor.run(floor, payload, Math.max(1, roundNanos / 3)));
      double allocatedBefore = system.allocatedBytes();
      long cpuBefore = system.cpuNanos() + ownCpuNanos();
      served.add(LayerLoad.run(router, header, payload, concurrency, roundNanos));
      cpuNanos += system.cpuNanos() + ownCpuNanos() - cpuBefore;
      allocated += system.allocatedBytes() - allocatedBefore;
    }
    return new LayerReport(tokens, bytesPerToken(), limits, floors, served, cpuNanos, allocated);
  }

  /** Payload there and back: client to router, and router to the k experts. */
  private int bytesPerToken() {
    int wireBytes = wireDtype.equals("fp32") ? Float.BYTES : Short.BYTES;
    return 2 * hidden * Float.BYTES + 2 * k * hidden * wireBytes;
  }

  private static long ownCpuNanos() {
    return ((OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean())
        .getProcessCpuTime();
  }

  private void print(LayerReport report) {
    if (json) {
      JsonObject object = report.json();
      object.addProperty("hidden", hidden);
      object.addProperty("ffn", ffn);
      object.addProperty("experts", experts);
      object.addProperty("k", k);
      object.addProperty("tokens", tokens);
      object.addProperty("concurrency", concurrency);
      object.addProperty("ep_size", epSize);
      object.addProperty("wire_dtype", wireDtype);
      System.out.println(object);
      return;
    }
    System.out.println(
        "hidden %d, ffn %d, %d experts, k=%d; %d tokens a request, %d in flight"
            .formatted(hidden, ffn, experts, k, tokens, concurrency));
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
