package dev.guildhall.cli;

import static java.util.Objects.requireNonNull;

import com.google.gson.JsonArray;
import com.google.gson.JsonObject;
import dev.guildhall.checkpoint.Checkpoint;
import dev.guildhall.checkpoint.ImportedLayer;
import dev.guildhall.checkpoint.MoeBlock;
import dev.guildhall.checkpoint.RepositoryImport;
import dev.guildhall.checkpoint.WeightType;
import dev.guildhall.error.GuildhallException;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import me.tongfei.progressbar.ProgressBar;
import me.tongfei.progressbar.ProgressBarBuilder;
import me.tongfei.progressbar.ProgressBarStyle;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.ArgGroup;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code guildhall import}. */
@Command(
    name = "import",
    description = "Makes layers of a checkpoint's MoE blocks.",
    mixinStandardHelpOptions = true)
final class ImportCommand implements Callable<Integer> {
  @Spec private @Nullable CommandSpec spec;

  @Parameters(
      paramLabel = "SOURCE",
      description = {
        "A folder as Hugging Face's transformers saves it (mixtral, qwen2_moe, qwen3_moe,",
        "olmoe, deepseek_v2, deepseek_v3, gpt_oss), a DeepSpeed checkpoint's folder, or a",
        ".safetensors file of a model with DeepSpeed MoE layers."
      })
  private @Nullable Path source;

  @Option(
      names = "--output",
      paramLabel = "REPOSITORY",
      required = true,
      description = "The model repository; made if it is not there.")
  private @Nullable Path output;

  @Option(
      names = "--name",
      paramLabel = "MODEL",
      description = "The model's folder there. Default: the source's name.")
  private @Nullable String name;

  @Option(
      names = "--layers",
      paramLabel = "NAME",
      split = ",",
      description = "Blocks to import, such as layer_0,layer_3. Default: all.")
  private List<String> layers = List.of();

  @Option(
      names = "--dtype",
      paramLabel = "TYPE",
      description = {
        "Of the experts' weights: ${COMPLETION-CANDIDATES}. INT8 and INT4 are computed so,",
        "FP16 on CUDA only, all others in fp32. Default: ${DEFAULT-VALUE}."
      })
  private WeightType dtype = WeightType.STORED;

  @Option(
      names = "--link",
      description = "Points to the source's files instead of copying tensors of them.")
  private boolean link;

  @Option(names = "--json", fallbackValue = "true", description = "Prints one JSON object.")
  private boolean json;

  @ArgGroup(
      validate = false,
      heading = "What DeepSpeed's checkpoints do not hold (for them only):%n")
  private final DeepSpeedFlags deepSpeed = new DeepSpeedFlags();

  @Override
  public Integer call() throws IOException {
    Path from = requireNonNull(source);
    try (Checkpoint checkpoint = Checkpoints.open(from, deepSpeed.arguments())) {
      List<MoeBlock> blocks = chosen(checkpoint.blocks());
      RepositoryImport to = new RepositoryImport(requireNonNull(output), model(from), dtype, link);
      List<ImportedLayer> imported = new ArrayList<>();
      try (Interruption _ = Interruption.ofThisThread();
          ProgressBar progress = progress(blocks.size())) {
        to.write(
            blocks,
            layer -> {
              imported.add(layer);
              progress.setExtraMessage(" " + layer.name());
              progress.step();
            });
      }
      print(imported);
      PrintWriter err = requireNonNull(spec).commandLine().getErr();
      checkpoint.notes().forEach(note -> err.println("note: " + note));
    }
    return 0;
  }

  private String model(Path from) {
    return name != null ? name : modelName(from.toAbsolutePath().normalize());
  }

  private static String modelName(Path from) {
    String file = from.getFileName() == null ? "model" : from.getFileName().toString();
    return file.endsWith(".safetensors")
        ? file.substring(0, file.length() - ".safetensors".length())
        : file;
  }

  private List<MoeBlock> chosen(List<MoeBlock> blocks) {
    List<String> there = blocks.stream().map(MoeBlock::name).toList();
    for (String layer : layers) {
      if (!there.contains(layer)) {
        throw GuildhallException.invalidArgument(
            "--layers names \"%s\"; the checkpoint has %s"
                .formatted(layer, String.join(", ", there)));
      }
    }
    return layers.isEmpty()
        ? blocks
        : blocks.stream().filter(block -> layers.contains(block.name())).toList();
  }

  private static ProgressBar progress(int layers) {
    return new ProgressBarBuilder()
        .setTaskName("import")
        .setInitialMax(layers)
        .setStyle(ProgressBarStyle.ASCII)
        .setUpdateIntervalMillis(200)
        .build();
  }

  private void print(List<ImportedLayer> imported) {
    if (json) {
      JsonArray array = new JsonArray();
      imported.stream().map(ImportCommand::json).forEach(array::add);
      JsonObject object = new JsonObject();
      object.add("layers", array);
      System.out.println(object);
      return;
    }
    int width = imported.stream().mapToInt(layer -> layer.name().length()).max().orElse(0);
    String row = "%-" + Math.max(width, 5) + "s %11s %7s %2s %10s  %s%n";
    System.out.printf(row, "LAYER", "HIDDEN_SIZE", "EXPERTS", "K", "MIB", "ERROR");
    for (ImportedLayer layer : imported) {
      System.out.printf(
          row,
          layer.name(),
          layer.hiddenSize(),
          layer.numExperts(),
          layer.k(),
          "%.1f".formatted(layer.bytes() / (double) (1 << 20)),
          error(layer));
    }
  }

  private static String error(ImportedLayer layer) {
    return layer.relativeError().isEmpty()
        ? "none"
        : "%.2e of the outputs".formatted(layer.relativeError().getAsDouble());
  }

  private static JsonObject json(ImportedLayer layer) {
    JsonObject object = new JsonObject();
    object.addProperty("name", layer.name());
    object.addProperty("hidden_size", layer.hiddenSize());
    object.addProperty("num_experts", layer.numExperts());
    object.addProperty("k", layer.k());
    object.addProperty("bytes", layer.bytes());
    layer.relativeError().ifPresent(error -> object.addProperty("relative_error", error));
    return object;
  }
}
