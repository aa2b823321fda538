package dev.guildhall.cli;

import com.google.gson.JsonArray;
import com.google.gson.JsonObject;
import dev.guildhall.proto.LayerSummary;
import dev.guildhall.proto.ListLayersRequest;
import dev.guildhall.proto.MoeLayerServiceGrpc;
import dev.guildhall.repository.Layer;
import dev.guildhall.repository.LayerRepository;
import dev.guildhall.rpc.Transport;
import io.grpc.ManagedChannel;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.ArgGroup;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** {@code guildhall layers}. */
@Command(
    name = "layers",
    description = "Lists the layers of a model repository or of a running router.",
    mixinStandardHelpOptions = true)
final class LayersCommand implements Callable<Integer> {
  private static final int TIMEOUT_SECONDS = 10;
  private static final int MAX_ANSWER_BYTES = 16 << 20;

  /** Where to look. */
  static final class Source {
    @Option(names = "--repository", paramLabel = "DIR", description = "A model repository.")
    private @Nullable Path repository;

    @Option(names = "--target", paramLabel = "HOST:PORT", description = "A running router.")
    private @Nullable String target;
  }

  @ArgGroup(multiplicity = "1")
  private Source source = new Source();

  @Option(names = "--json", description = "Prints one JSON object.")
  private boolean json;

  @Override
  public Integer call() {
    List<LayerSummary> layers =
        source.target == null ? inRepository(source.repository) : atRouter(source.target);
    if (json) {
      printJson(layers);
    } else {
      printTable(layers);
    }
    return 0;
  }

  private static List<LayerSummary> inRepository(@Nullable Path folder) {
    return LayerRepository.open(folder == null ? Path.of(".") : folder).layers().stream()
        .map(LayersCommand::summary)
        .toList();
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

  private static List<LayerSummary> atRouter(String target) {
    try (Transport transport = new Transport(1, MAX_ANSWER_BYTES)) {
      ManagedChannel channel = transport.channel(target);
      try {
        return MoeLayerServiceGrpc.newBlockingStub(channel)
            .withDeadlineAfter(TIMEOUT_SECONDS, TimeUnit.SECONDS)
            .listLayers(ListLayersRequest.getDefaultInstance())
            .getLayersList();
      } finally {
        channel.shutdownNow();
      }
    }
  }

  private void printTable(List<LayerSummary> layers) {
    boolean running = source.target != null;
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

  private void printJson(List<LayerSummary> layers) {
    JsonArray array = new JsonArray();
    for (LayerSummary layer : layers) {
      JsonObject object = new JsonObject();
      object.addProperty("name", layer.getName());
      object.addProperty("hidden_size", layer.getHiddenSize());
      object.addProperty("num_experts", layer.getNumExperts());
      object.addProperty("k", layer.getK());
      object.addProperty("use_residual", layer.getUseResidual());
      if (source.target != null) {
        object.addProperty("ready", layer.getReady());
      }
      array.add(object);
    }
    JsonObject root = new JsonObject();
    root.add("layers", array);
    System.out.println(root);
  }
}
