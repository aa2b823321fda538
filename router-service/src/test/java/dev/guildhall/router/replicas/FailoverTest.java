package dev.guildhall.router.replicas;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.guildhall.error.ErrorCode;
import dev.guildhall.metrics.MetricNames;
import dev.guildhall.repository.LayerVersion;
import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class FailoverTest {
  private static final LayerVersion LAYER = new LayerVersion("layer", "");
  private static final int[] BOTH = {0, 1};
  private static final int ROWS = 7;

  private final SilentReplicas replicas = new SilentReplicas();
  private final SimpleMeterRegistry registry = new SimpleMeterRegistry();
  private final ScheduledExecutorService timer = Executors.newSingleThreadScheduledExecutor();

  @AfterEach
  void stop() {
    replicas.close();
    timer.shutdownNow();
  }

  @ParameterizedTest
  @EnumSource(
      value = ErrorCode.class,
      mode = EnumSource.Mode.EXCLUDE,
      names = {"INVALID_ARGUMENT", "DEADLINE_EXCEEDED"})
  void repeatsWhatMayGoWellElsewhere(ErrorCode failure) throws Exception {
    Replica dead = replicas.open("dead", 0);
    Replica busy = replicas.open("busy", 10);
    Replica calm = replicas.open("calm", 1);
    Failover failover = failover(10 * ROWS, List.of(dead, busy, calm), List.of(dead, busy, calm));
    assertEquals(Optional.of(calm), failover.next(LAYER, BOTH, ROWS, Set.of(dead), failure));
    assertEquals(
        1,
        registry
            .get(MetricNames.BATCH_RETRIES)
            .tags("layer", LAYER.name(), "status", failure.name())
            .counter()
            .count());
  }

  @ParameterizedTest
  @EnumSource(
      value = ErrorCode.class,
      names = {"INVALID_ARGUMENT", "DEADLINE_EXCEEDED"})
  void doesNotRepeatWhatWouldFailAgain(ErrorCode failure) throws Exception {
    Replica one = replicas.open("one", 0);
    Replica two = replicas.open("two", 0);
    Failover failover = failover(10 * ROWS, List.of(one, two), List.of(one, two));
    assertEquals(Optional.empty(), failover.next(LAYER, BOTH, ROWS, Set.of(one), failure));
  }

  @Test
  void takesOnlyReplicasOfAllTheExperts() throws Exception {
    Replica dead = replicas.open("dead", 0);
    Replica first = replicas.open("first", 0);
    Replica both = replicas.open("both", 99);
    Failover failover = failover(10 * ROWS, List.of(dead, first, both), List.of(dead, both));
    assertEquals(
        Optional.of(both), failover.next(LAYER, BOTH, ROWS, Set.of(dead), ErrorCode.UNAVAILABLE));
    assertEquals(
        Optional.empty(),
        failover.next(LAYER, BOTH, ROWS, Set.of(dead, both), ErrorCode.UNAVAILABLE));
  }

  @Test
  void givesUpAfterThreeReplicas() throws Exception {
    List<Replica> four =
        List.of(
            replicas.open("a", 0),
            replicas.open("b", 0),
            replicas.open("c", 0),
            replicas.open("d", 0));
    Failover failover = failover(10 * ROWS, four, four);
    assertEquals(
        Optional.empty(),
        failover.next(LAYER, BOTH, ROWS, Set.copyOf(four.subList(0, 3)), ErrorCode.INTERNAL));
  }

  @Test
  void repeatsNoMoreThanTheBudgetAllows() throws Exception {
    Replica dead = replicas.open("dead", 0);
    Replica alive = replicas.open("alive", 0);
    Failover failover = failover(ROWS, List.of(dead, alive), List.of(dead, alive));
    assertEquals(
        Optional.of(alive), failover.next(LAYER, BOTH, ROWS, Set.of(dead), ErrorCode.UNAVAILABLE));
    assertEquals(
        Optional.empty(), failover.next(LAYER, BOTH, ROWS, Set.of(dead), ErrorCode.UNAVAILABLE));
  }

  @Test
  void hedgesOnlyWhereAnotherReplicaCould() throws Exception {
    Replica slow = replicas.open("slow", 0);
    Replica other = replicas.open("other", 0);
    Failover alone = failover(10 * ROWS, List.of(slow), List.of(slow));
    assertEquals(Optional.empty(), alone.afterLongWait(LAYER, BOTH, Set.of(slow), () -> {}));
    assertEquals(Optional.empty(), alone.hedge(LAYER, BOTH, ROWS, Set.of(slow)));

    Failover failover = failover(2 * ROWS, List.of(slow, other), List.of(slow, other));
    CountDownLatch waited = new CountDownLatch(1);
    assertTrue(failover.afterLongWait(LAYER, BOTH, Set.of(slow), waited::countDown).isPresent());
    assertTrue(waited.await(30, TimeUnit.SECONDS));
    assertEquals(Optional.of(other), failover.hedge(LAYER, BOTH, ROWS, Set.of(slow)));
    assertEquals(
        1, registry.get(MetricNames.BATCH_HEDGES).tags("layer", LAYER.name()).counter().count());
    assertEquals(Optional.empty(), failover.hedge(LAYER, BOTH, ROWS, Set.of(slow)));
  }

  @Test
  void prefersBusyReplicasToSilentOnes() throws Exception {
    Replica dead = replicas.open("dead", 0);
    Replica silent = replicas.open("silent", 0);
    Replica busy = replicas.open("busy", 10);
    replicas.silence(silent);
    Failover failover =
        failover(10 * ROWS, List.of(dead, silent, busy), List.of(dead, silent, busy));
    assertEquals(
        Optional.of(busy), failover.next(LAYER, BOTH, ROWS, Set.of(dead), ErrorCode.UNAVAILABLE));
  }

  @Test
  void avoidsReplicasThatFailAgainAndAgain() throws Exception {
    Replica dead = replicas.open("dead", 0);
    Replica failing = replicas.open("failing", 0);
    Replica busy = replicas.open("busy", 10);
    List<Replica> all = List.of(dead, failing, busy);
    Failover failover = failover(10 * ROWS, all, all);
    for (int i = 0; i < 5; i++) {
      failover.failed(failing, ErrorCode.INTERNAL);
    }
    assertEquals(
        1,
        registry
            .get(MetricNames.REPLICA_EJECTIONS)
            .tags("replica", "failing", "reason", "failures")
            .counter()
            .count());
    assertEquals(
        Optional.of(busy), failover.next(LAYER, BOTH, ROWS, Set.of(dead), ErrorCode.UNAVAILABLE));
    assertEquals(
        Optional.of(failing),
        failover.next(LAYER, BOTH, ROWS, Set.of(dead, busy), ErrorCode.UNAVAILABLE),
        "an ejected replica is better than none");
  }

  private Failover failover(int reserve, List<Replica> ofFirst, List<Replica> ofSecond) {
    LayerHosts hosts = new LayerHosts(LAYER.name(), List.of(ofFirst, ofSecond));
    RoutingTable table = new RoutingTable(1, Map.of(LAYER, hosts));
    return new Failover(
        () -> table, new RetryBudget(0, reserve), new Outliers(registry), timer, registry);
  }
}
