package dev.guildhall.repository;

import static java.util.Objects.requireNonNull;

import dev.guildhall.error.ErrorCode;
import dev.guildhall.error.GuildhallException;
import dev.guildhall.proto.MoeLayerConfig;
import java.io.IOException;
import java.nio.file.FileVisitOption;
import java.nio.file.FileVisitResult;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.SimpleFileVisitor;
import java.nio.file.attribute.BasicFileAttributes;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.EnumSet;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.BiConsumer;
import java.util.regex.Pattern;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A model repository: a folder of layers. A layer is a folder with a {@code layer.json}, directly
 * in the repository or one level below, in a model's folder.
 *
 * @param folder the repository
 * @param layers in the order of their names; at least one
 */
public record LayerRepository(Path folder, List<Layer> layers) {
  private static final Logger log = LoggerFactory.getLogger(LayerRepository.class);
  private static final String CONFIG_FILE = "layer.json";
  private static final int MAX_DEPTH = 3;
  private static final Pattern NAME = Pattern.compile("[A-Za-z0-9][A-Za-z0-9._-]*");

  public LayerRepository {
    layers = List.copyOf(layers);
  }

  /**
   * Reads every layer's configuration, but no weights.
   *
   * @throws GuildhallException NOT_FOUND if there is no such folder or no layer in it;
   *     INVALID_ARGUMENT naming the file, the field, its value and what is allowed
   */
  public static LayerRepository open(Path folder) {
    if (!Files.isDirectory(folder)) {
      throw notAFolder(folder);
    }
    List<Layer> layers =
        configFiles(folder, LayerRepository::warn).stream()
            .sorted()
            .map(file -> read(folder, file))
            .sorted(Comparator.comparing(Layer::name))
            .toList();
    if (layers.isEmpty()) {
      throw new GuildhallException(
          ErrorCode.NOT_FOUND,
          "the model repository %s has no layer: no folder in it has a %s"
              .formatted(folder, CONFIG_FILE));
    }
    return new LayerRepository(folder, layers);
  }

  /**
   * Reads one layer's configuration, but no weights.
   *
   * @param layer its folder, as {@link #folder} found it
   * @throws GuildhallException INVALID_ARGUMENT as {@link #open} says
   */
  static Layer layer(Path repository, Path layer) {
    return read(repository, layer.resolve(CONFIG_FILE));
  }

  /**
   * The folder of one layer.
   *
   * @throws GuildhallException NOT_FOUND if there is no such layer
   */
  static Path folder(Path repository, String name) {
    Path layer = folders(repository).get(name);
    if (layer == null) {
      throw new GuildhallException(
          ErrorCode.NOT_FOUND,
          "the model repository %s has no layer \"%s\"".formatted(repository, name));
    }
    return layer;
  }

  /** The folders of the layers, by name; what has no layer's name is left out. */
  static Map<String, Path> folders(Path repository) {
    if (!Files.isDirectory(repository)) {
      throw notAFolder(repository);
    }
    Map<String, Path> folders = new TreeMap<>();
    for (Path file : configFiles(repository, (left, out) -> log.debug("{} is left out", left))) {
      Path folder = requireNonNull(file.getParent());
      try {
        folders.put(name(repository.relativize(folder)), folder);
      } catch (GuildhallException e) {
        log.debug("{} is left out: {}", folder, e.getMessage());
      }
    }
    return folders;
  }

  /**
   * Mounted volumes have symbolic links to follow, hidden folders with the same files again, and
   * folders like lost+found that only root may read.
   */
  private static List<Path> configFiles(Path repository, BiConsumer<Path, IOException> leftOut) {
    List<Path> found = new ArrayList<>();
    SimpleFileVisitor<Path> visitor =
        new SimpleFileVisitor<>() {
          @Override
          public FileVisitResult preVisitDirectory(Path folder, BasicFileAttributes attributes) {
            boolean hidden =
                !folder.equals(repository) && folder.getFileName().toString().startsWith(".");
            return hidden ? FileVisitResult.SKIP_SUBTREE : FileVisitResult.CONTINUE;
          }

          @Override
          public FileVisitResult visitFile(Path file, BasicFileAttributes attributes) {
            if (file.getFileName().toString().equals(CONFIG_FILE)) {
              found.add(file);
            }
            return FileVisitResult.CONTINUE;
          }

          @Override
          public FileVisitResult visitFileFailed(Path file, IOException failure) {
            leftOut.accept(file, failure);
            return FileVisitResult.CONTINUE;
          }
        };
    try {
      Files.walkFileTree(repository, EnumSet.of(FileVisitOption.FOLLOW_LINKS), MAX_DEPTH, visitor);
    } catch (IOException e) {
      throw GuildhallException.invalidArgument("%s cannot be read: %s".formatted(repository, e));
    }
    return found;
  }

  private static Layer read(Path repository, Path file) {
    try {
      Path folder = requireNonNull(file.getParent());
      if (folder.equals(repository)) {
        throw GuildhallException.invalidArgument(
            "this folder is a layer; the model repository is the folder above it");
      }
      String name = name(repository.relativize(folder));
      return parse(name, folder, Files.readString(file));
    } catch (IOException e) {
      throw wrong(file, "cannot be read: " + e, e);
    } catch (GuildhallException e) {
      throw wrong(file, e.getMessage(), e);
    }
  }

  /**
   * A layer as the text of its layer.json has it.
   *
   * @throws GuildhallException INVALID_ARGUMENT saying what is wrong with the text
   */
  static Layer parse(String name, Path folder, String json) {
    MoeLayerConfig.Builder proto = MoeLayerConfig.newBuilder();
    StrictJson.merge(json, proto);
    return new Layer(name, folder, proto.build(), LayerConfig.of(proto.build()));
  }

  private static String name(Path relative) {
    relative.forEach(segment -> checkFolderName(segment.toString()));
    return relative.toString().replace('\\', '/');
  }

  /**
   * Checks the name of a layer's folder, or of a model's.
   *
   * @throws GuildhallException INVALID_ARGUMENT saying what is allowed
   */
  public static void checkFolderName(String name) {
    if (!NAME.matcher(name).matches()) {
      throw GuildhallException.invalidArgument(
          "the folder's name is \"%s\"; allowed are letters, digits, '.', '_' and '-', a letter"
                  .formatted(name)
              + " or digit first");
    }
  }

  private static void warn(Path file, IOException failure) {
    log.warn("{} is left out of the model repository: {}", file, failure.toString());
  }

  private static GuildhallException notAFolder(Path folder) {
    return new GuildhallException(
        ErrorCode.NOT_FOUND, "the model repository %s is not a folder".formatted(folder));
  }

  private static GuildhallException wrong(Path file, String what, Exception cause) {
    return new GuildhallException(
        ErrorCode.INVALID_ARGUMENT, "%s: %s".formatted(file, what), cause);
  }
}
