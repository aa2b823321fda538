package dev.guildhall.cli.chaos;

import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.ByteString;
import dev.guildhall.cli.Await;
import dev.guildhall.cli.Tensors;
import dev.guildhall.proto.ExchangeRequest;
import java.io.IOException;
import java.net.ServerSocket;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** A replica that answers nonsense joins a good one. */
@Tag("chaos")
class GarbageReplicaChaos {
  @TempDir private Path folder;

  enum Nonsense implements GarbageExperts.Garbage {
    A_ROW_TOO_FEW {
      @Override
      public byte[] of(ExchangeRequest request) {
        ByteString rows = request.getRows();
        int rowCount = request.getRowCountsList().stream().mapToInt(Integer::intValue).sum();
        return GarbageExperts.echo(request)
            .setRows(rows.substring(0, rows.size() - rows.size() / rowCount))
            .build()
            .toByteArray();
      }
    },
    UNKNOWN_BATCH_ID {
      @Override
      public byte[] of(ExchangeRequest request) {
        return GarbageExperts.echo(request)
            .setBatchId(request.getBatchId() + (1L << 40))
            .build()
            .toByteArray();
      }
    },
    NOT_A_NUMBER {
      @Override
      public byte[] of(ExchangeRequest request) {
        float[] rows = new float[request.getRows().size() / Float.BYTES];
        Arrays.fill(rows, Float.NaN);
        return GarbageExperts.echo(request).setRows(Tensors.bytes(rows)).build().toByteArray();
      }
    },
    CUT_MESSAGE {
      @Override
      public byte[] of(ExchangeRequest request) {
        byte[] whole = GarbageExperts.echo(request).build().toByteArray();
        return Arrays.copyOf(whole, whole.length / 2);
      }
    },
    RANDOM_BYTES {
      @Override
      public byte[] of(ExchangeRequest request) {
        byte[] bytes = new byte[100];
        new SplittableRandom(request.getBatchId()).nextBytes(bytes);
        return bytes;
      }
    }
  }

  @ParameterizedTest
  @EnumSource(Nonsense.class)
  void nonsenseIsDetectedAndAskedOfTheOther(Nonsense nonsense) throws Exception {
    int port = freePort();
    try (Fleet fleet = new Fleet(folder)) {
      List<Node> good = fleet.replicas(1);
      Node router = fleet.router(List.of(good.getFirst().target(), "localhost:" + port));
      try (SteadyLoad load = SteadyLoad.start(router.target())) {
        Phase before = load.phase("before");
        Durations.hold(Durations.CALM);
        Phase during = load.phase("during");
        try (GarbageExperts bad = new GarbageExperts(port, nonsense)) {
          Await.until("it is asked", Durations.PATIENCE, () -> bad.batches() > 0);
          Durations.hold(Durations.GARBAGE);
          load.stop();
          MetricsPage page = router.metrics();
          double ejections = page.sum("guildhall_replica_ejections_total");
          Report report =
              new Report("garbage, " + nonsense)
                  .with(before)
                  .with(during)
                  .with("spoilt_batches", bad.batches())
                  .with("retries", page.sum("guildhall_batch_retries_total"))
                  .with("hedges", page.sum("guildhall_batch_hedges_total"))
                  .with("ejections", ejections)
                  .with("by", page.of("guildhall_replica_ejections_total"));
          report.publish();
          report.assertNothingFailed();
          assertTrue(ejections > 0, "the replica was ejected");
        }
      }
    }
  }

  private static int freePort() throws IOException {
    try (ServerSocket socket = new ServerSocket(0)) {
      return socket.getLocalPort();
    }
  }
}
