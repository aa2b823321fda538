package dev.guildhall.cli;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;

/** A repository for tests of the Open Inference Protocol: the digits layer and small ones. */
final class InferenceModels {
  static final int HIDDEN = 8;
  static final int EXPERTS = 4;

  /** k = 2 without drops and draws; its name is in two parts. */
  static final String NESTED = "model/first";

  /** k = 1 with random token selection and tight capacity in training mode. */
  static final String TIGHT = "tight";

  private InferenceModels() {}

  static void write(Path repository) throws IOException {
    Path digits = Files.createDirectories(repository.resolve(Digits.LAYER));
    try (Stream<Path> files = Files.list(Digits.REPOSITORY.resolve(Digits.LAYER))) {
      for (Path file : files.toList()) {
        Files.copy(file, digits.resolve(file.getFileName()));
      }
    }
    LayerFiles.mlp(
        repository,
        NESTED,
        """
        {"hidden_size": 8, "num_experts": 4, "k": 2, "drop_tokens": false,
         "top2_2nd_expert_sampling": false}
        """);
    LayerFiles.mlp(
        repository,
        TIGHT,
        """
        {"hidden_size": 8, "num_experts": 4, "k": 1, "capacity_factor": 0.5,
         "eval_capacity_factor": 4.0, "min_capacity": 1}
        """);
  }

  static List<String> names() {
    return List.of(Digits.LAYER, NESTED, TIGHT);
  }
}
