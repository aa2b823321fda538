package dev.guildhall.cli.bench;

import static java.util.Objects.requireNonNull;

import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.ParameterException;

/** Refuses numbers that a command cannot work with, as wrong usage. */
final class OptionBounds {
  private OptionBounds() {}

  /**
   * Checks an option.
   *
   * @param spec of the command, as picocli has set it
   * @throws ParameterException if the value is too small
   */
  static void atLeast(@Nullable CommandSpec spec, String option, int value, int least) {
    if (value < least) {
      throw new ParameterException(
          requireNonNull(spec, "picocli sets the spec before the call").commandLine(),
          "%s is %d; allowed is from %d".formatted(option, value, least));
    }
  }
}
