package dev.guildhall.cli;

import picocli.CommandLine.Option;

/** The flags that {@code expert} and {@code serve} share. */
final class ExpertFlags {
  @Option(
      names = "--device",
      defaultValue = "cpu",
      paramLabel = "cpu|cuda[:I]",
      description = "Where experts compute. Default: ${DEFAULT-VALUE}.")
  String device = "cpu";

  @Option(
      names = "--workers",
      paramLabel = "N",
      description = "Threads that compute. Default: one a processor.")
  int workers = Runtime.getRuntime().availableProcessors();

  @Option(
      names = "--max-queued-rows",
      defaultValue = "65536",
      paramLabel = "N",
      description =
          "Rows that may wait; beyond them batches are refused. Default: ${DEFAULT-VALUE}.")
  int maxQueuedRows;

  @Option(
      names = "--max-queued-bytes",
      defaultValue = "1073741824",
      paramLabel = "N",
      description =
          "What waiting rows and their results may occupy; beyond it batches are refused."
              + " Default: ${DEFAULT-VALUE}.")
  long maxQueuedBytes;
}
