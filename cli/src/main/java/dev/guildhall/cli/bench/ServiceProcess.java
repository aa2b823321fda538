package dev.guildhall.cli.bench;

import com.google.common.base.Splitter;
import dev.guildhall.error.ErrorCode;
import dev.guildhall.error.GuildhallException;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/** A guildhall command running in a process of its own, with the flags of this JVM. */
final class ServiceProcess implements AutoCloseable {
  private static final int START_SECONDS = 60;
  private static final int STOP_SECONDS = 10;
  private static final String READY = "ready ";
  private static final String ALLOCATED = "guildhall_jvm_allocated_bytes_total";

  private final Process process;
  private final Map<String, Integer> ports;

  private ServiceProcess(Process process, Map<String, Integer> ports) {
    this.process = process;
    this.ports = ports;
  }

  /**
   * Starts a server command and waits for its {@code ready} line.
   *
   * @throws GuildhallException UNAVAILABLE if it ends before it is ready; what it had to say is on
   *     stderr
   */
  static ServiceProcess start(List<String> arguments) throws IOException {
    List<String> command = new ArrayList<>();
    command.add(ProcessHandle.current().info().command().orElse("java"));
    command.addAll(ManagementFactory.getRuntimeMXBean().getInputArguments());
    command.addAll(
        List.of("-cp", System.getProperty("java.class.path"), "dev.guildhall.cli.Guildhall"));
    command.addAll(arguments);
    ProcessBuilder builder =
        new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.INHERIT);
    builder.environment().put("GUILDHALL_LOG_LEVEL", "ERROR");
    // The images set one port, and there are several of these.
    builder.environment().remove("GUILDHALL_HEALTH_PORT");
    Process process = builder.start();
    try {
      return new ServiceProcess(process, ports(readyLine(process, arguments)));
    } catch (RuntimeException e) {
      process.destroyForcibly();
      throw e;
    }
  }

  /** The line {@code ready}; it must come within a minute. */
  private static String readyLine(Process process, List<String> arguments) {
    String command = "'guildhall %s'".formatted(String.join(" ", arguments));
    try {
      return CompletableFuture.supplyAsync(() ->
              process.inputReader().lines().filter(line -> line.startsWith(READY)).findFirst())
          .get(START_SECONDS, TimeUnit.SECONDS)
          .orElseThrow(() ->
              new GuildhallException(
                  ErrorCode.UNAVAILABLE, command + " ended before it was ready"));
    } catch (ExecutionException | TimeoutException e) {
      throw new GuildhallException(
          ErrorCode.UNAVAILABLE,
          "%s was not ready within %d s".formatted(command, START_SECONDS),
          e);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new GuildhallException(ErrorCode.CANCELLED, command + " was not waited for", e);
    }
  }

  private static Map<String, Integer> ports(String readyLine) {
    Map<String, Integer> ports = new HashMap<>();
    for (String port : Splitter.on(' ').split(readyLine.substring(READY.length()))) {
      List<String> nameAndPort = Splitter.on('=').splitToList(port);
      if (!nameAndPort.getFirst().equals("socket")) {
        ports.put(nameAndPort.getFirst(), Integer.parseInt(nameAndPort.getLast()));
      }
    }
    return ports;
  }

  /** A port by its name in the {@code ready} line. */
  int port(String name) {
    Integer port = ports.get(name);
    if (port == null) {
      throw new IllegalArgumentException("no port " + name + " in " + ports);
    }
    return port;
  }

  /** Heap bytes allocated since the start. */
  double allocatedBytes() throws IOException, InterruptedException {
    return metric(ALLOCATED);
  }

  /**
   * A value of the process's {@code /metrics}.
   *
   * @param name of a meter that has one line
   */
  double metric(String name) throws IOException, InterruptedException {
    URI uri = URI.create("http://localhost:%d/metrics".formatted(port("metrics")));
    try (HttpClient http = HttpClient.newHttpClient()) {
      String text =
          http.send(HttpRequest.newBuilder(uri).build(), HttpResponse.BodyHandlers.ofString())
              .body();
      return text.lines()
          .filter(line -> line.startsWith(name))
          .mapToDouble(line -> Double.parseDouble(line.substring(line.lastIndexOf(' ') + 1)))
          .findFirst()
          .orElseThrow();
    }
  }

  /** Processor time since the start. */
  long cpuNanos() {
    return process.info().totalCpuDuration().orElseThrow().toNanos();
  }

  @Override
  public void close() {
    process.destroy();
    try {
      if (!process.waitFor(STOP_SECONDS, TimeUnit.SECONDS)) {
        process.destroyForcibly();
      }
    } catch (InterruptedException e) {
      process.destroyForcibly();
      Thread.currentThread().interrupt();
    }
  }
}
