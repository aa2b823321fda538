package dev.guildhall.cli;

import static java.util.Objects.requireNonNull;

import com.google.gson.JsonArray;
import com.google.gson.JsonObject;
import dev.guildhall.client.RouterClient;
import dev.guildhall.proto.LayerSummary;
import dev.guildhall.repository.Layer;
import dev.guildhall.repository.LayerRepository;
import dev.guildhall.rpc.Transport;
import io.grpc.ManagedChannel;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** {@code guildhall layers}. */
@Command(
    name = "layers",
    description = "Lists the layers of a model repository or of a running router.",
    mixinStandardHelpOptions = true,
    synopsisSubcommandLabel = "[COMMAND]",
    subcommands = {LoadLayerCommand.class, UnloadLayerCommand.class})
final class LayersCommand implements Callable<Integer> {
  private static final Duration TIMEOUT = Duration.ofSeconds(10);
  private static final int MAX_ANSWER_BYTES = 16 << 20;

  @Spec private @Nullable CommandSpec spec;

  @Mixin private final ClientFlags flags = new ClientFlags();

  @Option(names = "--repository", paramLabel = "DIR", description = "A model repository.")
  private @Nullable Path repository;

  @Option(names = "--target", paramLabel = "HOST:PORT", description = "A running router.")
  private @Nullable String target;

  @Option(names = "--json", fallbackValue = "true", description = "Prints one JSON object.")
  private boolean json;

  @Override
  public Integer call() {
    boolean running = isRunning();
    List<LayerSummary> layers =
        running ? atRouter(requireNonNull(target)) : inRepository(requireNonNull(repository));
    if (json) {
      printJson(layers, running);
    } else {
      printTable(layers, running);
    }
    return 0;
  }

  /** Whether to ask a router: a flag counts for more than the other one's variable. */
  private boolean isRunning() {
    CommandLine command = requireNonNull(spec).commandLine();
    boolean repositoryGiven = command.getParseResult().hasMatchedOption("--repository");
    boolean targetGiven = command.getParseResult().hasMatchedOption("--target");
    if (repositoryGiven == targetGiven && (repository == null) == (target == null)) {
      throw new CommandLine.ParameterException(command, "give one of --repository and --target");
    }
    return targetGiven || repository == null;
  }

  private static List<LayerSummary> inRepository(Path folder) {
    return LayerRepository.open(folder).layers().stream().map(LayersCommand::summary).toList();
  }

  private static LayerSummary summary(Layer layer) {
    return LayerSummary.newBuilder()
        .setName(layer.name())
        .setHiddenSize(layer.config().hiddenSize())
        .setNumExperts(layer.config().numExperts())
        .setK(layer.config().k())
        .setUseResidual(layer.config().useResidual())
        .build();
  }

  private List<LayerSummary> atRouter(String target) {
    try (Transport transport = new Transport(1, MAX_ANSWER_BYTES, flags.tls())) {
      ManagedChannel channel = transport.channel(target);
      try {
        return new RouterClient(flags.withToken(channel), TIMEOUT).layers();
      } finally {
        channel.shutdownNow();
      }
    }
  }

  private static void printTable(List<LayerSummary> layers, boolean running) {
    int width = layers.stream().mapToInt(layer -> layer.getName().length()).max().orElse(0);
    String row = "%-" + Math.max("LAYER".length(), width) + "s %11s %7s %2s %8s %s";
    System.out.println(
        row.formatted("LAYER", "HIDDEN_SIZE", "EXPERTS", "K", "RESIDUAL", running ? "READY" : "")
            .stripTrailing());
    for (LayerSummary layer : layers) {
      System.out.println(
          row.formatted(
                  layer.getName(),
                  layer.getHiddenSize(),
                  layer.getNumExperts(),
                  layer.getK(),
                  layer.getUseResidual() ? "yes" : "no",
                  running ? (layer.getReady() ? "yes" : "no") : "")
              .stripTrailing());
    }
  }

  private static void printJson(List<LayerSummary> layers, boolean running) {
    JsonArray array = new JsonArray();
    for (LayerSummary layer : layers) {
      JsonObject object = new JsonObject();
      object.addProperty("name", layer.getName());
      object.addProperty("hidden_size", layer.getHiddenSize());
      object.addProperty("num_experts", layer.getNumExperts());
      object.addProperty("k", layer.getK());
      object.addProperty("use_residual", layer.getUseResidual());
      if (running) {
        object.addProperty("ready", layer.getReady());
      }
      array.add(object);
    }
    JsonObject root = new JsonObject();
    root.add("layers", array);
    System.out.println(root);
  }
}
