package dev.guildhall.cli;

import java.util.Locale;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.IDefaultValueProvider;
import picocli.CommandLine.Model.ArgSpec;
import picocli.CommandLine.Model.OptionSpec;

/** Takes the default of {@code --some-option} from {@code GUILDHALL_SOME_OPTION}. */
record EnvironmentDefaults(Map<String, String> environment) implements IDefaultValueProvider {

  @Override
  public @Nullable String defaultValue(ArgSpec argument) {
    if (!(argument instanceof OptionSpec option)) {
      return null;
    }
    return environment.get(variable(option.longestName()));
  }

  static String variable(String option) {
    return "GUILDHALL_" + option.replaceFirst("^-+", "").replace('-', '_').toUpperCase(Locale.ROOT);
  }
}
