package dev.guildhall.cli.bench;

import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** A router and its expert services, each a process of its own on loopback. */
final class BenchSystem implements AutoCloseable {
  private static final String ALLOCATED = "guildhall_jvm_allocated_bytes_total ";

  private final List<ServiceProcess> processes;

  private BenchSystem(List<ServiceProcess> processes) {
    this.processes = processes;
  }

  /**
   * Starts the processes.
   *
   * @param epSize expert services, an EP rank each
   * @param sockets whether router and experts meet in Unix domain sockets below the repository
   */
  static BenchSystem start(Path repository, int epSize, boolean sockets, String wireDtype)
      throws IOException {
    List<ServiceProcess> processes = new ArrayList<>();
    BenchSystem system = new BenchSystem(processes);
    try {
      List<String> targets = new ArrayList<>();
      for (int rank = 0; rank < epSize; rank++) {
        Path socket = repository.resolve("rank-" + rank + ".sock").toAbsolutePath();
        List<String> command =
            new ArrayList<>(
                List.of(
                    "expert",
                    "--repository=" + repository,
                    "--ep-rank=" + rank,
                    "--ep-size=" + epSize,
                    "--port=0",
                    "--metrics-port=0"));
        if (sockets) {
          command.add("--socket=" + socket);
        }
        ServiceProcess expert = ServiceProcess.start(command);
        processes.add(expert);
        targets.add(sockets ? "unix://" + socket : "localhost:" + expert.port("grpc"));
      }
      processes.addFirst(
          ServiceProcess.start(
              List.of(
                  "router",
                  "--repository=" + repository,
                  "--experts=" + String.join(",", targets),
                  "--wire-dtype=" + wireDtype,
                  "--port=0",
                  "--metrics-port=0")));
      return system;
    } catch (IOException | RuntimeException e) {
      system.close();
      throw e;
    }
  }

  /** Where the router is. */
  String target() {
    return "localhost:" + processes.getFirst().port("grpc");
  }

  /** Processor time of all processes. */
  long cpuNanos() {
    return processes.stream().mapToLong(ServiceProcess::cpuNanos).sum();
  }

  /** Heap bytes that all processes have allocated. */
  double allocatedBytes() throws IOException, InterruptedException {
    double bytes = 0;
    for (ServiceProcess process : processes) {
      bytes += allocatedBytes(process);
    }
    return bytes;
  }

  static double allocatedBytes(ServiceProcess process) throws IOException, InterruptedException {
    URI uri = URI.create("http://localhost:%d/metrics".formatted(process.port("metrics")));
    try (HttpClient http = HttpClient.newHttpClient()) {
      String text =
          http.send(HttpRequest.newBuilder(uri).build(), HttpResponse.BodyHandlers.ofString())
              .body();
      return text.lines()
          .filter(line -> line.startsWith(ALLOCATED))
          .mapToDouble(line -> Double.parseDouble(line.substring(ALLOCATED.length())))
          .findFirst()
          .orElseThrow();
    }
  }

  @Override
  public void close() {
    processes.forEach(ServiceProcess::close);
  }
}
