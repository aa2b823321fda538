package dev.guildhall.checkpoint.deepspeed;

import dev.guildhall.checkpoint.Checkpoint;
import dev.guildhall.checkpoint.MoeBlock;
import dev.guildhall.error.GuildhallException;
import java.nio.file.Path;
import java.util.List;

/** A DeepSpeed checkpoint's MoE layers with their arguments. */
public final class DeepSpeedFolder implements Checkpoint {
  private final DeepSpeedCheckpoint checkpoint;
  private final List<MoeBlock> blocks;
  private final List<String> notes;

  private DeepSpeedFolder(
      DeepSpeedCheckpoint checkpoint, List<MoeBlock> blocks, List<String> notes) {
    this.checkpoint = checkpoint;
    this.blocks = List.copyOf(blocks);
    this.notes = notes;
  }

  /**
   * Opens a folder.
   *
   * @throws GuildhallException as {@link DeepSpeedCheckpoint#open} says, and INVALID_ARGUMENT if k
   *     is missing or no layer is there
   */
  @SuppressWarnings("MustBeClosedChecker") // Closed with what is returned.
  public static DeepSpeedFolder open(Path folder, DeepSpeedArguments arguments) {
    DeepSpeedCheckpoint checkpoint = DeepSpeedCheckpoint.open(folder);
    try {
      DeepSpeedBlocks blocks = new DeepSpeedBlocks(arguments);
      List<MoeBlock> found =
          checkpoint.layers().stream()
              .map(prefix -> blocks.block(checkpoint.layer(prefix), List.of()))
              .toList();
      if (found.isEmpty()) {
        throw GuildhallException.invalidArgument("%s has no MoE layer".formatted(folder));
      }
      return new DeepSpeedFolder(checkpoint, found, blocks.notes());
    } catch (RuntimeException e) {
      checkpoint.close();
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
    checkpoint.close();
  }
}
