package dev.guildhall.cli;

import dev.guildhall.cli.bench.BenchCommand;
import dev.guildhall.rpc.Statuses;
import java.io.IOException;
import java.io.PrintWriter;
import java.security.Security;
import org.slf4j.bridge.SLF4JBridgeHandler;
import picocli.CommandLine;
import picocli.CommandLine.Command;

/** The {@code guildhall} command. Exit codes: 0, 1 (failed), 2 (usage). */
@Command(
    name = "guildhall",
    description = "Serves Mixture-of-Experts layers as microservices.",
    mixinStandardHelpOptions = true,
    version = "guildhall 0.1.0",
    synopsisSubcommandLabel = "COMMAND",
    subcommands = {
      DemoCommand.class,
      ServeCommand.class,
      RouterCommand.class,
      ExpertCommand.class,
      InferCommand.class,
      ImportCommand.class,
      LayersCommand.class,
      HealthCommand.class,
      BenchCommand.class
    },
    footer = {
      "",
      "Every option can also be set by an environment variable: --metrics-port by",
      "GUILDHALL_METRICS_PORT. Logs go to stderr, results to stdout.",
      "'guildhall COMMAND --help' tells about a command."
    })
public final class Guildhall {
  private static final int FAILED = 1;

  private Guildhall() {}

  public static void main(String[] args) {
    // Replicas come and go behind a name; the JVM would remember its addresses for half a minute.
    Security.setProperty("networkaddress.cache.ttl", "1");
    // Seconds. The metrics port has few threads, and a reader who is silent would keep one for
    // ever.
    System.setProperty("sun.net.httpserver.maxReqTime", "10");
    System.setProperty("sun.net.httpserver.maxRspTime", "10");
    LogFlags.untilFlags();
    // gRPC and OpenTelemetry log there.
    SLF4JBridgeHandler.removeHandlersForRootLogger();
    SLF4JBridgeHandler.install();
    Servers.exit(commandLine().execute(args));
  }

  static CommandLine commandLine() {
    return new CommandLine(new Guildhall())
        .setCaseInsensitiveEnumValuesAllowed(true)
        .setDefaultValueProvider(new EnvironmentDefaults(System.getenv()))
        .setExecutionExceptionHandler((failure, command, parsed) -> {
          report(command.getErr(), failure);
          return FAILED;
        });
  }

  /** One line that says what was wrong; a stack trace only for what is a defect of ours. */
  private static void report(PrintWriter err, Exception failure) {
    if (failure instanceof IOException) {
      err.println("guildhall: " + failure);
      return;
    }
    io.grpc.Status status = Statuses.toStatus(failure);
    err.println("guildhall: %s: %s".formatted(status.getCode(), description(status)));
  }

  /** What gRPC says of a connection that failed is in the causes, the last of them. */
  private static String description(io.grpc.Status status) {
    String said = String.valueOf(status.getDescription()).lines().findFirst().orElse("");
    Throwable cause = status.getCause();
    if (cause == null) {
      return said;
    }
    while (cause.getCause() != null) {
      cause = cause.getCause();
    }
    return "%s: %s".formatted(said, cause.getMessage());
  }
}
