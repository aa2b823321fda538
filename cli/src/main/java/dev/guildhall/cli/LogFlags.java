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
  /** Of the lines on stderr; there is a log-NAME.xml for each. */
  enum Format {
    TEXT,
    JSON
  }

  /** What logback.xml reads; the environment variable of this name works from the first line on. */
  private static final String FORMAT = "GUILDHALL_LOG_FORMAT";

  @Option(
      names = "--log-format",
      defaultValue = "text",
      paramLabel = "text|json",
      description = "Format of the log; json: one object a line. Default: ${DEFAULT-VALUE}.")
  private Format format = Format.TEXT;

  /** Logs so from here on. */
  void apply() throws JoranException {
    String name = format.name().toLowerCase(Locale.ROOT);
    String now = System.getProperty(FORMAT, System.getenv().getOrDefault(FORMAT, "text"));
    if (name.equals(now)) {
      return;
    }
    System.setProperty(FORMAT, name);
    LoggerContext context = (LoggerContext) LoggerFactory.getILoggerFactory();
    context.reset();
    JoranConfigurator configurator = new JoranConfigurator();
    configurator.setContext(context);
    configurator.doConfigure(
        requireNonNull(LogFlags.class.getResource("/logback.xml"), "logback.xml is missing"));
  }
}
