package dev.guildhall.cli.chaos;

import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.guildhall.cli.CommandProcess;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** A router or an expert service in a process of its own, which may be started again. */
final class Node implements AutoCloseable {
  /** Those of the launcher; direct memory is the JDK's so that /metrics shows it. */
  private static final List<String> JVM_FLAGS =
      List.of(
          "-Xmx512m",
          "-XX:TrimNativeHeapInterval=10000",
          "-Dio.netty.leakDetection.level=disabled",
          "-Dio.netty.maxDirectMemory=0");

  private final Path logs;
  private final List<String> prefix;
  private final String host;
  private final List<String> arguments;
  private CommandProcess process;
  private int grpcPort;
  private int metricsPort;

  private Node(Path logs, List<String> prefix, String host, List<String> arguments)
      throws IOException {
    this.logs = logs;
    this.prefix = prefix;
    this.host = host;
    this.arguments = arguments;
    this.process = launch();
  }

  /**
   * Starts a server command on free ports; {@link #awaitReady} must follow.
   *
   * @param prefix what executes it; empty for nothing
   * @param host where it can be reached
   */
  static Node start(Path logs, List<String> prefix, String host, List<String> arguments)
      throws IOException {
    return new Node(logs, prefix, host, arguments);
  }

  private CommandProcess launch() throws IOException {
    List<String> all = new ArrayList<>(arguments);
    all.add("--port=" + grpcPort);
    all.add("--metrics-port=" + metricsPort);
    return CommandProcess.start(logs, prefix, JVM_FLAGS, all);
  }

  Node awaitReady() throws InterruptedException {
    grpcPort = process.port("grpc");
    metricsPort = process.port("metrics");
    return this;
  }

  /** Starts the process again on the same ports, after it has ended. */
  void startAgain() throws Exception {
    process.close();
    process = launch();
    awaitReady();
  }

  /** SIGTERM, to which it must end well. */
  void endWell() throws InterruptedException {
    process.terminate();
    assertEquals(0, process.exitCode(), process.err());
  }

  CommandProcess process() {
    return process;
  }

  int port() {
    return grpcPort;
  }

  String target() {
    return host + ":" + grpcPort;
  }

  MetricsPage metrics() throws IOException, InterruptedException {
    return MetricsPage.of(host, metricsPort);
  }

  /** The sum of a meter's lines; 0 if it is not there or does not answer. */
  double metric(String name) {
    try {
      return metrics().sum(name);
    } catch (IOException e) {
      return 0;
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      return 0;
    }
  }

  @Override
  public void close() {
    process.close();
  }
}
