package dev.guildhall.checkpoint;

import dev.guildhall.proto.MoeLayerConfig;
import dev.guildhall.repository.LayerRepository;
import dev.guildhall.safetensors.StoredTensor;
import java.lang.foreign.Arena;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.function.Function;

/**
 * An MoE block of a checkpoint, described as a layer of ours.
 *
 * @param name of the layer within its model
 * @param config as layer.json will have it, but for the files' names
 * @param tensors by the names that the config uses: the files' own memory, or new memory of the
 *     arena where the checkpoint keeps them in another layout
 * @param files .safetensors files that have the tensors under the same names; empty if there are
 *     none
 */
public record MoeBlock(
    String name,
    MoeLayerConfig config,
    Function<Arena, Map<String, StoredTensor>> tensors,
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
