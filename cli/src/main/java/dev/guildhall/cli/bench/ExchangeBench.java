package dev.guildhall.cli.bench;

import com.google.gson.JsonObject;
import com.sun.management.ThreadMXBean;
import dev.guildhall.rpc.Transport;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.net.InetSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.SocketChannel;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** {@code guildhall bench exchange}. */
@Command(
    name = "exchange",
    description =
        "Streams messages one way to another process, over the exchange and over bare TCP.",
    mixinStandardHelpOptions = true)
final class ExchangeBench implements Callable<Integer> {
  private static final int MAX_MESSAGE_BYTES = 256 << 20;
  private static final int ROUNDS = 3;
  private static final long WARMUP_NANOS = 3_000_000_000L;

  @Spec private @Nullable CommandSpec spec;

  @Option(
      names = "--bytes",
      defaultValue = "1048576",
      description = "Of a message. Default: ${DEFAULT-VALUE}.")
  private int bytes;

  @Option(
      names = "--seconds",
      defaultValue = "9",
      description = "Measured, of each kind. Default: ${DEFAULT-VALUE}.")
  private int seconds;

  @Option(
      names = "--warmup-seconds",
      defaultValue = "60",
      description =
          "Before, at most, until both JVMs have compiled what is hot. Default: ${DEFAULT-VALUE}.")
  private int warmupSeconds;

  @Option(names = "--json", description = "Prints one JSON object.")
  private boolean json;

  @Override
  public Integer call() throws Exception {
    OptionBounds.atLeast(spec, "--bytes", bytes, 1);
    OptionBounds.atLeast(spec, "--seconds", seconds, ROUNDS);
    try (ServiceProcess sink = ServiceProcess.start(List.of("bench", "echo-server"));
        Transport transport = new Transport(1, MAX_MESSAGE_BYTES);
        Connection connection = Connection.open(transport, "localhost:" + sink.port("grpc"))) {
      new WarmUp(List.of(sink), what -> System.err.println("bench: " + what))
          .run(() -> ExchangeLoad.run(connection.channel(), bytes, WARMUP_NANOS), warmupSeconds);
      long roundNanos = TimeUnit.SECONDS.toNanos(seconds) / ROUNDS;
      double[] exchange = new double[ROUNDS];
      double[] tcp = new double[ROUNDS];
      double allocatedBefore = allocatedBytes(sink);
      double moved = 0;
      for (int round = 0; round < ROUNDS; round++) {
        tcp[round] = rawTcp(sink.port("tcp"), roundNanos);
        exchange[round] = ExchangeLoad.run(connection.channel(), bytes, roundNanos);
        moved += exchange[round] * roundNanos;
      }
      double allocated = allocatedBytes(sink) - allocatedBefore;
      print(median(exchange), median(tcp), allocated / moved);
    }
    return 0;
  }

  /** Heap bytes that sender and receiver have allocated. */
  private static double allocatedBytes(ServiceProcess sink)
      throws IOException, InterruptedException {
    long own = ((ThreadMXBean) ManagementFactory.getThreadMXBean()).getTotalThreadAllocatedBytes();
    return own + sink.allocatedBytes();
  }

  /** Gigabytes a second of plain writes until the other side has read them all. */
  private double rawTcp(int port, long nanos) throws IOException {
    ByteBuffer buffer = ByteBuffer.allocateDirect(bytes);
    try (SocketChannel connection = SocketChannel.open(new InetSocketAddress("localhost", port))) {
      long start = System.nanoTime();
      long sent = 0;
      while (System.nanoTime() - start < nanos) {
        buffer.clear();
        while (buffer.hasRemaining()) {
          sent += connection.write(buffer);
        }
      }
      connection.shutdownOutput();
      connection.read(ByteBuffer.allocate(1));
      return (double) sent / (System.nanoTime() - start);
    }
  }

  private static double median(double[] rounds) {
    double[] sorted = rounds.clone();
    Arrays.sort(sorted);
    return sorted[sorted.length / 2];
  }

  private void print(double exchange, double tcp, double allocatedPerByte) {
    if (json) {
      JsonObject object = new JsonObject();
      object.addProperty("gigabytes_per_second", exchange);
      object.addProperty("raw_tcp_gigabytes_per_second", tcp);
      object.addProperty("ratio", exchange / tcp);
      object.addProperty("allocated_per_byte_moved", allocatedPerByte);
      object.addProperty("bytes", bytes);
      System.out.println(object);
      return;
    }
    System.out.println(
        String.format(
            Locale.ROOT,
            "%d bytes a message: exchange %.2f GB/s, raw TCP %.2f GB/s, ratio %.2f;"
                + " both ends allocate %.4f bytes a byte",
            bytes,
            exchange,
            tcp,
            exchange / tcp,
            allocatedPerByte));
  }
}
