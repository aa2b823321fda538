package dev.guildhall.cli.bench;

import picocli.CommandLine.Command;

/** {@code guildhall bench}. */
@Command(
    name = "bench",
    description = "Measures throughput and latency beside the limits of the same machine.",
    mixinStandardHelpOptions = true,
    synopsisSubcommandLabel = "COMMAND",
    subcommands = {LayerBench.class, ExchangeBench.class, EchoServer.class})
public final class BenchCommand {}
