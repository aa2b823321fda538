package dev.guildhall.checkpoint.huggingface;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParseException;
import com.google.gson.JsonParser;
import dev.guildhall.error.ErrorCode;
import dev.guildhall.error.GuildhallException;
import dev.guildhall.safetensors.SafetensorsFile;
import dev.guildhall.safetensors.StoredTensor;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.NavigableMap;
import java.util.TreeMap;

/**
 * The .safetensors files of a model: one, or several with an index that tells which tensor is in
 * which. A file is opened when a tensor of it is asked for.
 */
final class Shards implements AutoCloseable {
  private static final String SINGLE = "model.safetensors";
  private static final String INDEX = "model.safetensors.index.json";

  private final NavigableMap<String, Path> fileOfTensor;
  private final Map<Path, SafetensorsFile> open = new LinkedHashMap<>();

  private Shards(NavigableMap<String, Path> fileOfTensor) {
    this.fileOfTensor = fileOfTensor;
  }

  /** Opens a folder's; transformers, too, looks for the single file first. */
  static Shards open(Path folder) {
    Path single = folder.resolve(SINGLE);
    Path index = folder.resolve(INDEX);
    if (Files.exists(single)) {
      Shards shards = new Shards(new TreeMap<>());
      shards.file(single).tensors().keySet().forEach(name -> shards.fileOfTensor.put(name, single));
      return shards;
    }
    if (Files.exists(index)) {
      return new Shards(readIndex(index));
    }
    throw new GuildhallException(
        ErrorCode.NOT_FOUND,
        "%s has neither %s nor %s%s"
            .formatted(
                folder,
                SINGLE,
                INDEX,
                hasPickles(folder)
                    ? "; its .bin files are not read: save it as .safetensors"
                    : ""));
  }

  private static boolean hasPickles(Path folder) {
    return Files.exists(folder.resolve("pytorch_model.bin"))
        || Files.exists(folder.resolve("pytorch_model.bin.index.json"));
  }

  private static NavigableMap<String, Path> readIndex(Path index) {
    NavigableMap<String, Path> files = new TreeMap<>();
    try {
      JsonObject root = JsonParser.parseString(Files.readString(index)).getAsJsonObject();
      for (Map.Entry<String, JsonElement> entry : root.getAsJsonObject("weight_map").entrySet()) {
        files.put(entry.getKey(), beside(index, entry.getValue().getAsString()));
      }
    } catch (IOException
        | JsonParseException
        | ClassCastException
        | IllegalStateException
        | UnsupportedOperationException
        | NullPointerException e) {
      throw GuildhallException.invalidArgument(
          "%s cannot be read: it needs a \"weight_map\" from tensors to files (%s)"
              .formatted(index, e));
    }
    return files;
  }

  private static Path beside(Path index, String file) {
    if (!file.matches("[A-Za-z0-9][A-Za-z0-9._-]*")) {
      throw GuildhallException.invalidArgument(
          "%s names the file \"%s\"; allowed are names of files beside it".formatted(index, file));
    }
    return index.resolveSibling(file);
  }

  /** The tensors whose names start so, with their files. */
  Map<String, Path> below(String prefix) {
    return fileOfTensor.subMap(prefix, prefix + Character.MAX_VALUE);
  }

  /**
   * One tensor.
   *
   * @throws GuildhallException NOT_FOUND if there is none, or it is not in the file that the index
   *     names
   */
  StoredTensor tensor(String name) {
    Path file = fileOfTensor.get(name);
    if (file == null) {
      throw new GuildhallException(
          ErrorCode.NOT_FOUND, "the checkpoint has no tensor \"%s\"".formatted(name));
    }
    return file(file).tensor(name);
  }

  @SuppressWarnings("MustBeClosedChecker") // Closed with this.
  private SafetensorsFile file(Path path) {
    return open.computeIfAbsent(path, SafetensorsFile::open);
  }

  @Override
  public void close() {
    open.values().forEach(SafetensorsFile::close);
  }
}
