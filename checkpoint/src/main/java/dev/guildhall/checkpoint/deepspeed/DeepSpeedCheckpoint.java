package dev.guildhall.checkpoint.deepspeed;

import dev.guildhall.checkpoint.deepspeed.CheckpointFolder.ExpertFile;
import dev.guildhall.checkpoint.torch.TorchFile;
import dev.guildhall.error.ErrorCode;
import dev.guildhall.error.GuildhallException;
import dev.guildhall.safetensors.StoredTensor;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;

/**
 * The model in a checkpoint folder of DeepSpeed, as its engine saves a model with MoE layers: one
 * file for each expert, another for the rest. The files stay open and mapped.
 *
 * <p>Any thread may read. After {@link #close} the tensors' memory must not be touched.
 */
public final class DeepSpeedCheckpoint implements AutoCloseable {
  private final List<TorchFile> files;
  private final Map<String, StoredTensor> tensors;
  private final Map<String, DeepSpeedLayer> layers;

  private DeepSpeedCheckpoint(
      List<TorchFile> files,
      Map<String, StoredTensor> tensors,
      Map<String, DeepSpeedLayer> layers) {
    this.files = files;
    this.tensors = Collections.unmodifiableMap(tensors);
    this.layers = Collections.unmodifiableMap(layers);
  }

  /**
   * Opens a checkpoint.
   *
   * @param folder what was given to {@code save_checkpoint}, whose file {@code latest} tells the
   *     tag, or the tag's folder in it
   * @throws GuildhallException NOT_FOUND or INVALID_ARGUMENT naming the file and what is wrong
   */
  public static DeepSpeedCheckpoint open(Path folder) {
    CheckpointFolder found = CheckpointFolder.find(folder);
    List<TorchFile> files = new ArrayList<>();
    try {
      LayerAssembly assembly = new LayerAssembly(open(found.dense(), files));
      for (ExpertFile expert : found.experts()) {
        assembly.add(expert, open(expert.path(), files));
      }
      return new DeepSpeedCheckpoint(files, assembly.tensors(), assembly.layers());
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

  /** The MoE modules' names in the model, in its order. */
  public List<String> layers() {
    return List.copyOf(layers.keySet());
  }

  /**
   * One MoE layer.
   *
   * @param prefix one of {@link #layers}
   * @throws GuildhallException NOT_FOUND naming the layers that there are
   */
  public DeepSpeedLayer layer(String prefix) {
    DeepSpeedLayer layer = layers.get(prefix);
    if (layer == null) {
      throw new GuildhallException(
          ErrorCode.NOT_FOUND,
          "the checkpoint has no MoE layer \"%s\"; it has %s".formatted(prefix, layers.keySet()));
    }
    return layer;
  }

  /**
   * All of the model's tensors by their names in its state_dict: first the dense ones, then the
   * experts'.
   */
  public Map<String, StoredTensor> tensors() {
    return tensors;
  }

  @Override
  public void close() {
    files.forEach(TorchFile::close);
  }
}
