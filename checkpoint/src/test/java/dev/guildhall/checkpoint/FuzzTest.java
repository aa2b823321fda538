package dev.guildhall.checkpoint;

import dev.guildhall.checkpoint.torch.TorchFileFuzz;
import dev.guildhall.fuzz.FuzzRun;
import java.io.IOException;
import java.time.Duration;
import org.junit.jupiter.api.Test;

/** Fuzzes what is read for {@code -Dfuzz.seconds}; docs/testing.md tells how and for longer. */
class FuzzTest {
  private static final Duration TIME = Duration.ofSeconds(Long.getLong("fuzz.seconds", 5));

  @Test
  void findsNoTorchFileThatItsOracleObjectsTo() throws IOException, InterruptedException {
    FuzzRun.of(
            TorchFileFuzz.class,
            "dev.guildhall.checkpoint.torch.**:net.razorvine.pickle.*",
            TorchFileFuzz::seeds,
            TIME)
        .run();
  }
}
