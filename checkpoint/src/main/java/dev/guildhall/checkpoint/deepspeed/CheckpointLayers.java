package dev.guildhall.checkpoint.deepspeed;

import dev.guildhall.checkpoint.deepspeed.CheckpointFiles.ExpertFile;
import dev.guildhall.checkpoint.torch.TorchFile;
import dev.guildhall.error.GuildhallException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;

/**
 * The MoE layers in a checkpoint's files, which stay open and mapped. After {@link #close} the
 * tensors' memory must not be touched.
 *
 * @param byPrefix by the MoE modules' names in the model, in its order
 */
record CheckpointLayers(List<TorchFile> files, Map<String, DeepSpeedLayer> byPrefix)
    implements AutoCloseable {
  CheckpointLayers {
    byPrefix = Collections.unmodifiableMap(byPrefix);
  }

  /**
   * Opens a checkpoint.
   *
   * @param folder what was given to {@code save_checkpoint}, whose file {@code latest} tells the
   *     tag, or the tag's folder in it
   * @throws GuildhallException NOT_FOUND or INVALID_ARGUMENT naming the file and what is wrong
   */
  static CheckpointLayers open(Path folder) {
    CheckpointFiles found = CheckpointFiles.find(folder);
    List<TorchFile> files = new ArrayList<>();
    try {
      LayerAssembly assembly = new LayerAssembly(open(found.dense(), files));
      for (ExpertFile expert : found.experts()) {
        assembly.add(expert, open(expert.path(), files));
      }
      return new CheckpointLayers(files, assembly.layers());
    } catch (GuildhallException e) {
      files.forEach(TorchFile::close);
      throw e;
    }
  }

  @SuppressWarnings("MustBeClosedChecker") // Closed with the checkpoint.
  private static TorchFile open(Path path, List<TorchFile> files) {
    TorchFile file = TorchFile.open(path);
    files.add(file);
    return file;
  }

  @Override
  public void close() {
    files.forEach(TorchFile::close);
  }
}
