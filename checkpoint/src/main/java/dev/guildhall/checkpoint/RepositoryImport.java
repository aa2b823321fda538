package dev.guildhall.checkpoint;

import dev.guildhall.error.GuildhallException;
import dev.guildhall.repository.LayerRepository;
import java.io.IOException;
import java.io.InterruptedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.function.Consumer;

/**
 * Writes a checkpoint's MoE blocks into a model repository, as layers {@code model/block}. The
 * model's folder appears when all of it is written.
 *
 * @param repository made if it is not there
 * @param model the folder's name
 * @param link points to the checkpoint's files instead of copying their tensors
 */
public record RepositoryImport(Path repository, String model, WeightType type, boolean link) {
  /**
   * @throws GuildhallException INVALID_ARGUMENT if the model's name is none for a folder of layers
   */
  public RepositoryImport {
    try {
      LayerRepository.checkFolderName(model);
    } catch (GuildhallException e) {
      throw new GuildhallException(
          e.code(), e.getMessage() + "; --name gives the model another one", e);
    }
  }

  /**
   * Writes the blocks.
   *
   * @param done hears of each layer when it is written
   * @throws GuildhallException before anything is written: INVALID_ARGUMENT if the model is there
   *     already or a tensor is not right, NOT_FOUND if one is missing; later: INVALID_ARGUMENT if a
   *     layer does not fit the type. Nothing is left then
   * @throws IOException if writing fails, or the thread is interrupted; nothing is left then
   */
  public void write(List<MoeBlock> blocks, Consumer<ImportedLayer> done) throws IOException {
    Path target = repository.resolve(model);
    if (Files.exists(target)) {
      throw GuildhallException.invalidArgument(
          "%s is there already; allowed is a --name that is not, or another --output"
              .formatted(target));
    }
    Set<String> names = new HashSet<>();
    blocks.forEach(block -> {
      if (!names.add(block.name())) {
        throw GuildhallException.invalidArgument(
            "two of the checkpoint's MoE blocks are called \"%s\"".formatted(block.name()));
      }
    });
    List<LayerImport> layers =
        blocks.stream()
            .map(block -> new LayerImport(block, type, model, target.resolve(block.name())))
            .toList();
    layers.forEach(layer -> layer.check(link));
    try (NewFolder folder = NewFolder.create(repository, model)) {
      for (LayerImport layer : layers) {
        Path ofLayer = Files.createDirectory(folder.path().resolve(layer.folderName()));
        done.accept(layer.write(ofLayer, link));
      }
      if (Thread.currentThread().isInterrupted()) {
        throw new InterruptedIOException();
      }
      folder.finish();
    } catch (IOException | RuntimeException | Error e) {
      if (Thread.interrupted()) {
        throw new IOException("the import was interrupted", e);
      }
      throw e;
    }
  }
}
