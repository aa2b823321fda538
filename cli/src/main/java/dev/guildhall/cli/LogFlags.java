package dev.guildhall.cli;

import static java.util.Objects.requireNonNull;

import ch.qos.logback.classic.LoggerContext;
import ch.qos.logback.classic.joran.JoranConfigurator;
import ch.qos.logback.core.joran.spi.JoranException;
import java.util.Locale;
import org.slf4j.LoggerFactory;
import picocli.CommandLine.Option;

/** How a server logs. */
final class LogFlags {
  /** Of the lines on stderr; there is a log-NAME.xml for each, its name in small letters. */
  enum Format {
    TEXT,
    JSON;

    private String fileName() {
      return name().toLowerCase(Locale.ROOT);
    }
  }

  /** What logback.xml reads. */
  private static final String FORMAT = "GUILDHALL_LOG_FORMAT";

  @Option(
      names = "--log-format",
      defaultValue = "text",
      paramLabel = "text|json",
      description = "Format of the log; json: one object a line. Default: ${DEFAULT-VALUE}.")
  private Format format = Format.TEXT;

  /**
   * Logs as the environment says until the flags are read. To be called before anything logs:
   * logback complains on stdout of a format that has no file.
   */
  static void untilFlags() {
    String asked = System.getenv().getOrDefault(FORMAT, "");
    choose(asked.equalsIgnoreCase(Format.JSON.name()) ? Format.JSON : Format.TEXT);
  }

  private static void choose(Format format) {
    System.setProperty(FORMAT, format.fileName());
  }

  /** Logs so from here on. */
  void apply() throws JoranException {
    if (format.fileName().equals(System.getProperty(FORMAT))) {
      return;
    }
    choose(format);
    LoggerContext context = (LoggerContext) LoggerFactory.getILoggerFactory();
    context.reset();
    JoranConfigurator configurator = new JoranConfigurator();
    configurator.setContext(context);
    configurator.doConfigure(
        requireNonNull(LogFlags.class.getResource("/logback.xml"), "logback.xml is missing"));
  }
}
