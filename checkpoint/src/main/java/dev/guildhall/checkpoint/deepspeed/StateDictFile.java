package dev.guildhall.checkpoint.deepspeed;

import dev.guildhall.checkpoint.Checkpoint;
import dev.guildhall.checkpoint.MoeBlock;
import dev.guildhall.error.GuildhallException;
import dev.guildhall.safetensors.SafetensorsFile;
import dev.guildhall.safetensors.StoredTensor;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** A .safetensors file of a model with DeepSpeed MoE layers, under the names of its state_dict. */
public final class StateDictFile implements Checkpoint {
  private static final Pattern GATE = Pattern.compile("(.*?)\\.?" + Pattern.quote(TensorName.GATE));

  private final SafetensorsFile file;
  private final List<MoeBlock> blocks;
  private final List<String> notes;

  private StateDictFile(SafetensorsFile file, List<MoeBlock> blocks, List<String> notes) {
    this.file = file;
    this.blocks = List.copyOf(blocks);
    this.notes = notes;
  }

  /**
   * Opens a file.
   *
   * @throws GuildhallException NOT_FOUND or INVALID_ARGUMENT naming the file and what is wrong
   */
  @SuppressWarnings("MustBeClosedChecker") // Closed with what is returned.
  public static StateDictFile open(Path path, DeepSpeedArguments arguments) {
    DeepSpeedBlocks blocks = new DeepSpeedBlocks(arguments);
    SafetensorsFile file = SafetensorsFile.open(path);
    try {
      List<MoeBlock> found = new ArrayList<>();
      for (String tensor : file.tensors().keySet()) {
        Matcher gate = GATE.matcher(tensor);
        if (gate.matches()) {
          found.add(blocks.block(layer(file, gate.group(1)), List.of(path)));
        }
      }
      if (found.isEmpty()) {
        throw GuildhallException.invalidArgument(
            "%s has no MoE layer of DeepSpeed: no tensor is called ...%s"
                .formatted(path, TensorName.GATE));
      }
      return new StateDictFile(file, found, blocks.notes());
    } catch (RuntimeException e) {
      file.close();
      throw e;
    }
  }

  private static DeepSpeedLayer layer(SafetensorsFile file, String module) {
    String prefix = module.isEmpty() ? "" : module + ".";
    Map<String, StoredTensor> dense = new LinkedHashMap<>();
    Map<Integer, Map<String, StoredTensor>> experts = new TreeMap<>();
    file.tensors()
        .forEach((name, tensor) -> {
          if (!name.startsWith(prefix)) {
            return;
          }
          TensorName.parse(name)
              .filter(expert -> expert.prefix().equals(module))
              .ifPresentOrElse(
                  expert ->
                      experts
                          .computeIfAbsent(expert.expert(), e -> new LinkedHashMap<>())
                          .put(expert.inExpert(), tensor),
                  () -> dense.put(name.substring(prefix.length()), tensor));
        });
    for (int expert = 0; expert < experts.size(); expert++) {
      if (!experts.containsKey(expert)) {
        throw GuildhallException.invalidArgument(
            "MoE layer \"%s\" has no expert %d, but others".formatted(module, expert));
      }
    }
    if (experts.isEmpty()) {
      throw GuildhallException.invalidArgument("MoE layer \"%s\" has no experts".formatted(module));
    }
    return new DeepSpeedLayer(module, dense, List.copyOf(experts.values()));
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
    file.close();
  }
}
