package dev.guildhall.fuzz;

import static java.util.Objects.requireNonNull;

import java.time.Duration;
import java.util.EnumMap;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * Fuzzes every target for {@code -Dfuzz.seconds}, two at a time: some seconds in a build, minutes
 * with {@code -Pfuzz}. A finding's input stays below target/fuzz; to replay it, give its bytes to
 * the target's {@code fuzzerTestOneInput}.
 */
class FuzzTest {
  private static final Duration TIME = Duration.ofSeconds(Long.getLong("fuzz.seconds", 5));

  private static final Map<FuzzTarget, Future<?>> RUNS = new EnumMap<>(FuzzTarget.class);
  private static ExecutorService runners;

  @BeforeAll
  static void start() {
    runners = Executors.newFixedThreadPool(2);
    for (FuzzTarget target : FuzzTarget.values()) {
      RUNS.put(
          target,
          runners.submit(() -> {
            target.run(TIME);
            return null;
          }));
    }
  }

  @AfterAll
  static void stop() {
    runners.shutdownNow();
  }

  @ParameterizedTest
  @EnumSource
  void findsNoInputThatItsOracleObjectsTo(FuzzTarget target) throws Throwable {
    try {
      requireNonNull(RUNS.get(target)).get();
    } catch (ExecutionException e) {
      throw e.getCause();
    }
  }
}
