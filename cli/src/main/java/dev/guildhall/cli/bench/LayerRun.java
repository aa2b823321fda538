package dev.guildhall.cli.bench;

import com.sun.management.OperatingSystemMXBean;
import io.grpc.Channel;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.Consumer;

/**
 * Warm-up and rounds of a layer bench: in each round the limits, then what is served.
 *
 * @param concurrency requests in flight
 */
record LayerRun(
    BenchSystem system,
    ComputeLimit limit,
    Channel router,
    Channel floor,
    int concurrency,
    Consumer<String> progress) {
  private static final int ROUNDS = 3;
  private static final int WARMUP_CONCURRENCY = 16;
  private static final long WARMUP_NANOS = 1_000_000_000;

  /**
   * A few seconds of everything. Requests of one token above all: compilers go by the number of
   * calls, which large requests take minutes to make.
   */
  void warmUp(BenchedLayer.Request one, BenchedLayer.Request request)
      throws InterruptedException, ExecutionException, TimeoutException {
    LayerLoad.run(router, one, WARMUP_CONCURRENCY, 2 * WARMUP_NANOS);
    RpcFloor.run(floor, request.hiddenStates(), WARMUP_NANOS);
    limit.run(request.rowCounts(), concurrency, WARMUP_NANOS);
    LayerLoad.run(router, request, concurrency, WARMUP_NANOS);
  }

  /** Measures for some seconds of each kind, a third of them for the floor. */
  LayerReport measure(BenchedLayer.Request request, int seconds, int bytesPerToken)
      throws InterruptedException, ExecutionException, TimeoutException, IOException {
    long roundNanos = TimeUnit.SECONDS.toNanos(seconds) / ROUNDS;
    List<Load> limits = new ArrayList<>();
    List<Load> floors = new ArrayList<>();
    List<Load> served = new ArrayList<>();
    double cpuNanos = 0;
    double allocated = 0;
    for (int round = 1; round <= ROUNDS; round++) {
      progress.accept("round %d of %d".formatted(round, ROUNDS));
      limits.add(limit.run(request.rowCounts(), concurrency, roundNanos));
      floors.add(RpcFloor.run(floor, request.hiddenStates(), roundNanos / 3));
      double allocatedBefore = system.allocatedBytes();
      long cpuBefore = system.cpuNanos() + ownCpuNanos();
      served.add(LayerLoad.run(router, request, concurrency, roundNanos));
      cpuNanos += system.cpuNanos() + ownCpuNanos() - cpuBefore;
      allocated += system.allocatedBytes() - allocatedBefore;
    }
    Optional<LayerReport.Cost> cost =
        system.isOurs() ? Optional.of(new LayerReport.Cost(cpuNanos, allocated)) : Optional.empty();
    return new LayerReport(request.tokens(), bytesPerToken, limits, floors, served, cost);
  }

  private static long ownCpuNanos() {
    return ((OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean())
        .getProcessCpuTime();
  }
}
