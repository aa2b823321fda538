package dev.guildhall.checkpoint.deepspeed;

import dev.guildhall.checkpoint.Checkpoint;
import dev.guildhall.checkpoint.MoeBlock;
import dev.guildhall.error.GuildhallException;
import java.nio.file.Path;
import java.util.List;

/**
 * A checkpoint folder as DeepSpeed's engine saves a model with MoE layers: one file for each
 * expert, another for the rest.
 */
public final class DeepSpeedCheckpoint implements Checkpoint {
  private final CheckpointLayers layers;
  private final List<MoeBlock> blocks;
  private final List<String> notes;

  private DeepSpeedCheckpoint(CheckpointLayers layers, List<MoeBlock> blocks, List<String> notes) {
    this.layers = layers;
    this.blocks = List.copyOf(blocks);
    this.notes = notes;
  }

  /**
   * Opens a checkpoint.
   *
   * @param folder what was given to {@code save_checkpoint}, whose file {@code latest} tells the
   *     tag, or the tag's folder in it
   * @throws GuildhallException NOT_FOUND or INVALID_ARGUMENT naming the file and what is wrong, or
   *     the argument that is missing
   */
  @SuppressWarnings("MustBeClosedChecker") // Closed with what is returned.
  public static DeepSpeedCheckpoint open(Path folder, DeepSpeedArguments arguments) {
    CheckpointLayers layers = CheckpointLayers.open(folder);
    try {
      DeepSpeedBlocks blocks = new DeepSpeedBlocks(arguments);
      List<MoeBlock> found =
          layers.byPrefix().values().stream().map(layer -> blocks.block(layer, List.of())).toList();
      if (found.isEmpty()) {
        throw GuildhallException.invalidArgument("%s has no MoE layer".formatted(folder));
      }
      return new DeepSpeedCheckpoint(layers, found, blocks.notes());
    } catch (RuntimeException e) {
      layers.close();
      throw e;
    }
  }

  @Override
  public List<MoeBlock> blocks() {
    return blocks;
  }

  @Override
  public List<String> notes() {
    return notes;
  }

  @Override
  public void close() {
    layers.close();
  }
}
