package dev.guildhall.cli;

import dev.guildhall.repository.LayerRepository;
import java.nio.file.Path;

/** The example layer and its held-out data. */
public final class Digits {
  public static final String LAYER = "digits";
  public static final int HIDDEN_SIZE = 128;
  public static final Path REPOSITORY =
      Path.of(System.getProperty("guildhall.home", "..")).resolve("examples").resolve("digits");
  static final Path HELD_OUT = REPOSITORY.resolve("heldout.safetensors");

  private Digits() {}

  static LayerRepository repository() {
    return LayerRepository.open(REPOSITORY);
  }
}
