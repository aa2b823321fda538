package dev.guildhall.checkpoint.deepspeed;

import static java.util.Comparator.comparingInt;

import dev.guildhall.error.ErrorCode;
import dev.guildhall.error.GuildhallException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.OptionalInt;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/**
 * The files of a DeepSpeed checkpoint by their names, unopened.
 *
 * @param folder of the files
 * @param dense of everything but the experts
 * @param experts in the order of layer and number
 */
record CheckpointFiles(Path folder, Path dense, List<ExpertFile> experts) {
  private static final String LATEST = "latest";
  private static final int MAX_LATEST_BYTES = 1000;
  private static final String DENSE = "mp_rank_00_model_states.pt";

  /** An expert's file; before DeepSpeed 0.6 without a layer: one file for all layers. */
  private static final Pattern EXPERT =
      Pattern.compile("(?:layer_([0-9]{1,6})_)?expert_([0-9]{1,6})_mp_rank_00_model_states\\.pt");

  private static final Pattern OTHER_MODEL_RANK =
      Pattern.compile("(?:.*_)?mp_rank_(?!00_)[0-9]+_model_states\\.pt");

  /**
   * An expert's tensors, of one layer or of all.
   *
   * @param layer counts MoE layers
   */
  record ExpertFile(Path path, OptionalInt layer, int expert) {}

  /**
   * Finds the files.
   *
   * @param path with the file {@code latest}, which names a folder in it, or with the files
   * @throws GuildhallException NOT_FOUND or INVALID_ARGUMENT naming the file and what is wrong
   */
  static CheckpointFiles find(Path path) {
    // The empty path, the working folder, is nobody's parent.
    Path given = path.toString().isEmpty() ? Path.of(".") : path;
    if (!Files.isDirectory(given)) {
      throw new GuildhallException(
          ErrorCode.NOT_FOUND, "%s: there is no such folder".formatted(given));
    }
    Path folder = Files.exists(given.resolve(LATEST)) ? latest(given) : given;
    List<String> names = names(folder);
    names.stream()
        .filter(name -> OTHER_MODEL_RANK.matcher(name).matches())
        .findFirst()
        .ifPresent(name -> {
          throw wrong(
              folder.resolve(name),
              "the checkpoint is cut into several model-parallel ranks; allowed is one (mp_rank_00)");
        });
    return new CheckpointFiles(folder, dense(folder, names), experts(folder, names));
  }

  private static Path latest(Path given) {
    Path file = given.resolve(LATEST);
    try {
      if (Files.size(file) > MAX_LATEST_BYTES) {
        throw wrong(file, "the file is longer than the name of a folder");
      }
      String tag = Files.readString(file, StandardCharsets.UTF_8).strip();
      Path folder = given.resolve(tag);
      if (tag.isEmpty()
          || tag.startsWith(".")
          || !given.equals(folder.getParent())
          || !folder.getFileName().toString().equals(tag)) {
        throw wrong(file, "names \"%s\"; allowed is a folder beside it".formatted(tag));
      }
      if (!Files.isDirectory(folder)) {
        throw new GuildhallException(
            ErrorCode.NOT_FOUND,
            "%s: names \"%s\"; there is no such folder beside it".formatted(file, tag));
      }
      if (!given.toRealPath().equals(folder.toRealPath().getParent())) {
        throw wrong(file, "names \"%s\", which leads outside".formatted(tag));
      }
      return folder;
    } catch (InvalidPathException e) {
      throw wrong(file, "does not name a folder beside it");
    } catch (IOException e) {
      throw wrong(file, "cannot be read: " + e);
    }
  }

  private static List<String> names(Path folder) {
    try (Stream<Path> files = Files.list(folder)) {
      return files.map(file -> file.getFileName().toString()).sorted().toList();
    } catch (IOException | UncheckedIOException e) {
      throw wrong(folder, "cannot be read: " + e);
    }
  }

  private static Path dense(Path folder, List<String> names) {
    if (names.contains(DENSE)) {
      return folder.resolve(DENSE);
    }
    if (names.stream().anyMatch(name -> name.startsWith("zero_pp_rank_"))) {
      throw wrong(
          folder,
          "a checkpoint of ZeRO stage 3 is not supported; allowed are stages 0 to 2, which have "
              + DENSE);
    }
    throw new GuildhallException(
        ErrorCode.NOT_FOUND,
        "%s: has neither %s nor a file \"%s\" that names the folder with it"
            .formatted(folder, DENSE, LATEST));
  }

  private static List<ExpertFile> experts(Path folder, List<String> names) {
    List<ExpertFile> experts = new ArrayList<>();
    for (String name : names) {
      Matcher matcher = EXPERT.matcher(name);
      if (matcher.matches()) {
        String layer = matcher.group(1);
        experts.add(
            new ExpertFile(
                folder.resolve(name),
                layer == null ? OptionalInt.empty() : OptionalInt.of(Integer.parseInt(layer)),
                Integer.parseInt(matcher.group(2))));
      }
    }
    if (experts.isEmpty()) {
      throw wrong(folder, "has no layer_L_expert_N_mp_rank_00_model_states.pt: no MoE layer");
    }
    if (experts.stream().map(file -> file.layer().isPresent()).distinct().count() > 1) {
      throw wrong(
          folder, "has both expert_N_... and layer_L_expert_N_... files; allowed is one kind");
    }
    experts.sort(
        comparingInt((ExpertFile file) -> file.layer().orElse(0))
            .thenComparingInt(ExpertFile::expert));
    return experts;
  }

  /** Says what is wrong with a file or folder. */
  static GuildhallException wrong(Path path, String what) {
    return GuildhallException.invalidArgument("%s: %s".formatted(path, what));
  }
}
