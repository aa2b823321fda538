package dev.guildhall.checkpoint.deepspeed;

import static dev.guildhall.checkpoint.deepspeed.CheckpointFiles.wrong;
import static java.util.Objects.requireNonNull;

import dev.guildhall.checkpoint.deepspeed.CheckpointFiles.ExpertFile;
import dev.guildhall.checkpoint.torch.TorchFile;
import dev.guildhall.safetensors.StoredTensor;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.NavigableMap;
import java.util.Optional;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;

/**
 * Puts a checkpoint's tensors together, file by file in the order of layer and expert, and checks
 * that they make whole layers.
 */
final class LayerAssembly {
  /** What the dense file's tensors are under. */
  private static final String MODULE = "module.";

  /** One number, or a list with one for each layer. */
  private static final String NUM_EXPERTS = "num_experts";

  private final TorchFile denseFile;
  private final Map<String, StoredTensor> dense = new LinkedHashMap<>();
  private final Map<String, Path> origins = new LinkedHashMap<>();

  /** By the module's prefix and the expert's number. */
  private final Map<String, NavigableMap<Integer, Map<String, StoredTensor>>> experts =
      new LinkedHashMap<>();

  /** By the number in the files' names. */
  private final NavigableMap<Integer, String> prefixes = new TreeMap<>();

  LayerAssembly(TorchFile denseFile) {
    this.denseFile = denseFile;
    denseFile
        .tensors()
        .forEach((name, tensor) -> {
          if (name.startsWith(MODULE)) {
            String inModel = name.substring(MODULE.length());
            claim(inModel, denseFile.path());
            dense.put(inModel, tensor);
          }
        });
    if (dense.isEmpty()) {
      throw wrong(denseFile.path(), "has no tensors under \"module\", where DeepSpeed saves them");
    }
  }

  void add(ExpertFile file, TorchFile opened) {
    if (opened.tensors().isEmpty()) {
      throw wrong(file.path(), "has no tensors");
    }
    opened
        .tensors()
        .forEach((fullName, tensor) -> {
          TensorName name =
              TensorName.parse(fullName)
                  .filter(parsed -> parsed.expert() == file.expert())
                  .orElseThrow(() ->
                      wrong(
                          file.path(),
                          "has the tensor \"%s\"; allowed are those of expert %d"
                              .formatted(fullName, file.expert())));
          if (file.layer().isPresent()) {
            checkPrefix(file.path(), file.layer().getAsInt(), name.prefix());
          }
          claim(fullName, file.path());
          experts
              .computeIfAbsent(name.prefix(), _ -> new TreeMap<>())
              .computeIfAbsent(name.expert(), _ -> new LinkedHashMap<>())
              .put(name.inExpert(), tensor);
        });
  }

  private void checkPrefix(Path file, int layer, String prefix) {
    String known = prefixes.putIfAbsent(layer, prefix);
    if (known != null && !known.equals(prefix)) {
      throw wrong(
          file,
          "has tensors of the module \"%s\"; other files of layer %d have those of \"%s\""
              .formatted(prefix, layer, known));
    }
  }

  private void claim(String name, Path file) {
    Path other = origins.put(name, file);
    if (other != null) {
      throw wrong(file, "has the tensor \"%s\", which %s has too".formatted(name, other));
    }
  }

  /** The layers in the model's order, by the module's prefix. */
  Map<String, DeepSpeedLayer> layers() {
    checkLayerNumbers();
    Map<String, DeepSpeedLayer> layers = new LinkedHashMap<>();
    experts.forEach((prefix, ofLayer) -> layers.put(prefix, layer(prefix, layers.size(), ofLayer)));
    return layers;
  }

  private void checkLayerNumbers() {
    if (!prefixes.isEmpty() && prefixes.lastKey() != prefixes.size() - 1) {
      throw wrong(
          folder(),
          "has the MoE layers %s; allowed are all from 0 to the last".formatted(prefixes.keySet()));
    }
    if (!prefixes.isEmpty() && experts.size() != prefixes.size()) {
      throw wrong(
          folder(), "two of its layers are of the same module: %s".formatted(prefixes.values()));
    }
    long listed =
        denseFile.values().keySet().stream()
            .filter(name -> name.startsWith(NUM_EXPERTS + "."))
            .count();
    if (listed != 0 && listed != experts.size()) {
      throw wrong(
          denseFile.path(),
          "num_experts lists %d MoE layers; there are files of %d"
              .formatted(listed, experts.size()));
    }
  }

  private DeepSpeedLayer layer(
      String prefix, int index, NavigableMap<Integer, Map<String, StoredTensor>> ofLayer) {
    checkComplete(prefix, ofLayer, expected(prefix, index));
    Map<String, StoredTensor> first = ofLayer.firstEntry().getValue();
    ofLayer.forEach((expert, its) -> checkAlike(prefix, expert, its, first));
    String start = prefix.isEmpty() ? "" : prefix + ".";
    Map<String, StoredTensor> ofModule = new LinkedHashMap<>();
    dense.forEach((name, tensor) -> {
      if (name.startsWith(start)) {
        ofModule.put(name.substring(start.length()), tensor);
      }
    });
    return new DeepSpeedLayer(prefix, ofModule, new ArrayList<>(ofLayer.values()));
  }

  /** How many experts the dense file speaks of; 0 if it does not say. */
  private long expected(String prefix, int index) {
    StoredTensor gate =
        dense.get(prefix.isEmpty() ? TensorName.GATE : prefix + "." + TensorName.GATE);
    long rows = gate == null || gate.shape().isEmpty() ? 0 : gate.shape().getFirst();
    long listed = number(NUM_EXPERTS + "." + index).or(() -> number(NUM_EXPERTS)).orElse(0L);
    if (rows != 0 && listed != 0 && rows != listed) {
      throw wrong(
          denseFile.path(),
          "num_experts of the layer \"%s\" is %d; its gate has %d rows"
              .formatted(prefix, listed, rows));
    }
    return Math.max(rows, listed);
  }

  private Optional<Long> number(String name) {
    return denseFile.values().get(name) instanceof Long number
        ? Optional.of(number)
        : Optional.empty();
  }

  private void checkComplete(
      String prefix, NavigableMap<Integer, Map<String, StoredTensor>> ofLayer, long expected) {
    long count = Math.max(expected, ofLayer.lastKey() + 1L);
    if (ofLayer.size() == count && (expected == 0 || expected == count)) {
      return;
    }
    if (ofLayer.size() > expected && expected != 0) {
      throw wrong(
          folder(),
          "the layer \"%s\" has %d experts; %s says %d"
              .formatted(prefix, ofLayer.size(), denseFile.path().getFileName(), expected));
    }
    int missing = 0;
    while (ofLayer.containsKey(missing)) {
      missing++;
    }
    throw wrong(
        folder(),
        "the layer \"%s\" has %d experts of %d; the first that is missing is %d"
            .formatted(prefix, ofLayer.size(), count, missing));
  }

  private void checkAlike(
      String prefix, int expert, Map<String, StoredTensor> its, Map<String, StoredTensor> first) {
    boolean alike =
        its.keySet().equals(first.keySet())
            && its.entrySet().stream()
                .allMatch(tensor -> alike(tensor.getValue(), first.get(tensor.getKey())));
    if (!alike) {
      throw wrong(
          folder(),
          "the layer \"%s\": expert %d does not have the tensors that expert 0 has"
              .formatted(prefix, expert));
    }
  }

  private static boolean alike(StoredTensor tensor, @Nullable StoredTensor other) {
    return other != null && tensor.dtype() == other.dtype() && tensor.shape().equals(other.shape());
  }

  private Path folder() {
    return requireNonNull(denseFile.path().getParent());
  }
}
