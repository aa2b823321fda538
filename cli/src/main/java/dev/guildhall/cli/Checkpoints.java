package dev.guildhall.cli;

import dev.guildhall.checkpoint.Checkpoint;
import dev.guildhall.checkpoint.deepspeed.DeepSpeedArguments;
import dev.guildhall.checkpoint.deepspeed.DeepSpeedCheckpoint;
import dev.guildhall.checkpoint.deepspeed.StateDictFile;
import dev.guildhall.checkpoint.huggingface.HuggingFaceCheckpoint;
import dev.guildhall.error.ErrorCode;
import dev.guildhall.error.GuildhallException;
import java.nio.file.Files;
import java.nio.file.Path;

/** Tells kinds of checkpoints apart. */
final class Checkpoints {
  private Checkpoints() {}

  /**
   * Opens a Hugging Face folder, a DeepSpeed checkpoint's folder, or a .safetensors file.
   *
   * @param arguments for the latter two, which do not hold them
   * @throws GuildhallException NOT_FOUND or INVALID_ARGUMENT naming the file and what is wrong
   */
  static Checkpoint open(Path source, DeepSpeedArguments arguments) {
    if (Files.isRegularFile(source) && source.toString().endsWith(".safetensors")) {
      return StateDictFile.open(source, arguments);
    }
    if (!Files.isDirectory(source)) {
      throw new GuildhallException(
          ErrorCode.NOT_FOUND, "%s is neither a folder nor a .safetensors file".formatted(source));
    }
    if (!Files.exists(source.resolve("config.json"))) {
      return DeepSpeedCheckpoint.open(source, arguments);
    }
    if (!arguments.isEmpty()) {
      throw GuildhallException.invalidArgument(
          "%s tells k and all the rest by itself; --k and other arguments of DeepSpeed's layer are allowed for its checkpoints only"
              .formatted(source.resolve("config.json")));
    }
    return HuggingFaceCheckpoint.open(source);
  }
}
