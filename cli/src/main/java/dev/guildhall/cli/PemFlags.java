package dev.guildhall.cli;

import dev.guildhall.rpc.PemIdentity;
import java.nio.file.Path;
import java.util.Optional;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.ParameterException;

/** What several sets of TLS flags check. */
final class PemFlags {
  private PemFlags() {}

  /**
   * A certificate and its key, of two flags of which neither or both are given.
   *
   * @throws ParameterException for one without the other
   */
  static Optional<PemIdentity> identity(
      CommandSpec spec,
      String certificateFlag,
      @Nullable Path certificate,
      String keyFlag,
      @Nullable Path key) {
    if (certificate == null && key == null) {
      return Optional.empty();
    }
    if (certificate == null || key == null) {
      throw new ParameterException(
          spec.commandLine(),
          "%s needs %s: give both or neither"
              .formatted(
                  certificate == null ? keyFlag : certificateFlag,
                  certificate == null ? certificateFlag : keyFlag));
    }
    return Optional.of(new PemIdentity(certificate, key));
  }

  /**
   * Checks a flag that says nothing without another.
   *
   * @throws ParameterException if it is given alone
   */
  static void needs(
      CommandSpec spec, String flag, boolean given, String otherFlag, boolean otherGiven) {
    if (given && !otherGiven) {
      throw new ParameterException(
          spec.commandLine(),
          "%s needs %s: without it nothing is encrypted".formatted(flag, otherFlag));
    }
  }
}
