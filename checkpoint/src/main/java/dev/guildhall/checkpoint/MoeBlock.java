package dev.guildhall.checkpoint;

import dev.guildhall.proto.MoeLayerConfig;
import dev.guildhall.repository.LayerRepository;
import dev.guildhall.safetensors.TensorSource;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.function.Supplier;

/**
 * An MoE block of a checkpoint, described as a layer of ours.
 *
 * @param name of the layer within its model
 * @param config as layer.json will have it, but for the files' names
 * @param tensors all that the checkpoint has of the block, by the names that the config uses; its
 *     files are opened when it is asked
 * @param files .safetensors files that have the tensors under the same names; empty if there are
 *     none
 */
public record MoeBlock(
    String name,
    MoeLayerConfig config,
    Supplier<Map<String, TensorSource>> tensors,
    List<Path> files) {
  /**
   * @throws dev.guildhall.error.GuildhallException INVALID_ARGUMENT if the name is none for a
   *     layer's folder: it may come from a stranger's file
   */
  public MoeBlock {
    LayerRepository.checkFolderName(name);
    files = List.copyOf(files);
  }
}
