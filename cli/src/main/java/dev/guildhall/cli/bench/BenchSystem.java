package dev.guildhall.cli.bench;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** A router and its expert services, each a process of its own on loopback. */
final class BenchSystem implements AutoCloseable {
  private final String target;
  private final List<ServiceProcess> processes;

  private BenchSystem(String target, List<ServiceProcess> processes) {
    this.target = target;
    this.processes = processes;
  }

  /**
   * How to start the processes.
   *
   * @param epSize expert services, an EP rank each
   * @param workers threads of each expert service that compute
   * @param unix whether router and experts meet in Unix domain sockets
   * @param sockets folder for these
   */
  record Settings(
      Path repository, int epSize, int workers, boolean unix, Path sockets, String wireDtype) {}

  /** A router that somebody else has started. */
  static BenchSystem running(String target) {
    return new BenchSystem(target, List.of());
  }

  /** Starts the processes. */
  static BenchSystem start(Settings settings) throws IOException {
    List<ServiceProcess> processes = new ArrayList<>();
    try {
      List<String> targets = new ArrayList<>();
      for (int rank = 0; rank < settings.epSize(); rank++) {
        targets.add(startExpert(settings, rank, processes));
      }
      ServiceProcess router =
          ServiceProcess.start(
              List.of(
                  "router",
                  "--repository=" + settings.repository(),
                  "--experts=" + String.join(",", targets),
                  "--wire-dtype=" + settings.wireDtype(),
                  "--port=0",
                  "--http-port=0",
                  "--metrics-port=0"));
      processes.add(router);
      return new BenchSystem("localhost:" + router.port("grpc"), processes);
    } catch (IOException | RuntimeException e) {
      processes.forEach(ServiceProcess::close);
      throw e;
    }
  }

  /** Starts one EP rank and gives the target that reaches it. */
  private static String startExpert(Settings settings, int rank, List<ServiceProcess> processes)
      throws IOException {
    Path socket = settings.sockets().resolve("rank-" + rank + ".sock").toAbsolutePath();
    List<String> command =
        new ArrayList<>(
            List.of(
                "expert",
                "--repository=" + settings.repository(),
                "--ep-rank=" + rank,
                "--ep-size=" + settings.epSize(),
                "--workers=" + settings.workers(),
                "--port=0",
                "--metrics-port=0"));
    if (settings.unix()) {
      command.add("--socket=" + socket);
    }
    ServiceProcess expert = ServiceProcess.start(command);
    processes.add(expert);
    return settings.unix() ? "unix://" + socket : "localhost:" + expert.port("grpc");
  }

  /** Where the router is. */
  String target() {
    return target;
  }

  /** Whether the processes were started here, so that their costs are known. */
  boolean isOurs() {
    return !processes.isEmpty();
  }

  List<ServiceProcess> processes() {
    return processes;
  }

  /** Processor time of all processes. */
  long cpuNanos() {
    return processes.stream().mapToLong(ServiceProcess::cpuNanos).sum();
  }

  /** Heap bytes that all processes have allocated. */
  double allocatedBytes() throws IOException, InterruptedException {
    double bytes = 0;
    for (ServiceProcess process : processes) {
      bytes += process.allocatedBytes();
    }
    return bytes;
  }

  @Override
  public void close() {
    // The router first: an expert service waits for the streams that a router holds.
    processes.reversed().forEach(ServiceProcess::close);
  }
}
