package dev.guildhall.checkpoint.huggingface;

import dev.guildhall.checkpoint.Checkpoint;
import dev.guildhall.checkpoint.MoeBlock;
import dev.guildhall.error.ErrorCode;
import dev.guildhall.error.GuildhallException;
import dev.guildhall.proto.MoeLayerConfig;
import dev.guildhall.safetensors.TensorSource;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Supplier;

/**
 * A model's folder as transformers' {@code save_pretrained} makes it: config.json and .safetensors
 * files. Of the model nothing but the MoE blocks is read.
 */
public final class HuggingFaceCheckpoint implements Checkpoint {
  private final Shards shards;
  private final List<MoeBlock> blocks;

  private HuggingFaceCheckpoint(Shards shards, List<MoeBlock> blocks) {
    this.shards = shards;
    this.blocks = List.copyOf(blocks);
  }

  /**
   * Opens a folder.
   *
   * @throws GuildhallException NOT_FOUND or INVALID_ARGUMENT naming the file and what is wrong
   */
  public static HuggingFaceCheckpoint open(Path folder) {
    ModelConfig config = ModelConfig.read(folder.resolve("config.json"));
    ModelFamily family = ModelFamily.of(config);
    if (config.has("quantization_config")) {
      throw config.wrong(
          "quantization_config", "none: weights in BF16, FP16 or FP32, so save it dequantized");
    }
    Shards shards = Shards.open(folder);
    try {
      List<MoeBlock> blocks = new ArrayList<>();
      for (int layer = 0; layer < config.integer("num_hidden_layers"); layer++) {
        if (family.isSparse(config, layer)) {
          blocks.add(block(family, config, shards, layer));
        }
      }
      if (blocks.isEmpty()) {
        throw GuildhallException.invalidArgument(
            "%s: none of its layers has an MoE block".formatted(config.file()));
      }
      return new HuggingFaceCheckpoint(shards, blocks);
    } catch (RuntimeException e) {
      shards.close();
      throw e;
    }
  }

  private static MoeBlock block(ModelFamily family, ModelConfig config, Shards shards, int layer) {
    String prefix = family.prefix(layer);
    MoeLayerConfig proto = family.layer(config, prefix);
    Map<String, Path> files = shards.below(prefix + ".");
    if (files.isEmpty()) {
      throw new GuildhallException(
          ErrorCode.NOT_FOUND,
          "%s says that layer %d has an MoE block; there is no tensor \"%s...\""
              .formatted(config.file(), layer, prefix));
    }
    Supplier<Map<String, TensorSource>> tensors =
        () -> {
          Map<String, TensorSource> found = new LinkedHashMap<>();
          files.keySet().forEach(name -> found.put(name, shards.tensor(name)));
          return found;
        };
    return family == ModelFamily.GPT_OSS
        ? new MoeBlock(
            name(layer),
            proto,
            () -> new GptOssExperts(tensors.get(), prefix, proto.getNumExperts()).apart(),
            List.of())
        : new MoeBlock(name(layer), proto, tensors, files.values().stream().distinct().toList());
  }

  private static String name(int layer) {
    return "layer_" + layer;
  }

  @Override
  public List<MoeBlock> blocks() {
    return blocks;
  }

  @Override
  public List<String> notes() {
    return List.of();
  }

  @Override
  public void close() {
    shards.close();
  }
}
