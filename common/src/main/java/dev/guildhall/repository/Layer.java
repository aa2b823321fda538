package dev.guildhall.repository;

import dev.guildhall.error.GuildhallException;
import dev.guildhall.proto.MoeLayerConfig;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;

/**
 * A layer on disk.
 *
 * @param name its folder, relative to the repository: {@code layer} or {@code model/layer}
 * @param proto as layer.json says
 * @param config the same, checked
 */
public record Layer(String name, Path folder, MoeLayerConfig proto, LayerConfig config) {

  /**
   * A file that layer.json names.
   *
   * @throws GuildhallException INVALID_ARGUMENT if no file can have that name
   */
  Path file(String relative) {
    try {
      return folder.resolve(relative);
    } catch (InvalidPathException e) {
      throw GuildhallException.invalidArgument(
          "layer %s: no file can be called \"%s\": %s".formatted(name, relative, e.getReason()));
    }
  }
}
