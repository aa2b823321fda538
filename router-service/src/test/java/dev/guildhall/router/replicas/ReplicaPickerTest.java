package dev.guildhall.router.replicas;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.guildhall.error.ErrorCode;
import dev.guildhall.error.GuildhallException;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** Replicas whose streams lead to a server that never answers, so that rows stay outstanding. */
class ReplicaPickerTest {
  private final SilentReplicas replicas = new SilentReplicas();

  @AfterEach
  void stop() {
    replicas.close();
  }

  @Test
  void takesTheReplicaWithTheLeastRowsOutstanding() throws Exception {
    Replica busy = replicas.open("busy", 50);
    Replica calm = replicas.open("calm", 10);
    Replica busier = replicas.open("busier", 60);
    // Where the search starts is random.
    for (int i = 0; i < 20; i++) {
      ReplicaPicker picker = new ReplicaPicker(hosts(List.of(List.of(busy, calm, busier))));
      picker.choose(0, 5);
      assertEquals(List.of(calm), picker.chosen());
    }
  }

  @Test
  void countsTheRowsThatThisRequestHasJustGivenOut() throws Exception {
    Replica one = replicas.open("one", 0);
    Replica two = replicas.open("two", 0);
    ReplicaPicker picker = new ReplicaPicker(hosts(List.of(List.of(one, two))));
    int first = picker.choose(0, 10);
    int second = picker.choose(0, 4);
    assertEquals(1 - first, second);
    assertEquals(second, picker.choose(0, 4));
    assertEquals(second, picker.choose(0, 4));
    assertEquals(first, picker.choose(0, 1));
    assertEquals(Set.of(one, two), new HashSet<>(picker.chosen()));
  }

  @Test
  void oneReplicaOfSeveralExpertsHasOneNumber() throws Exception {
    Replica one = replicas.open("one", 0);
    ReplicaPicker picker = new ReplicaPicker(hosts(List.of(List.of(one), List.of(one))));
    assertEquals(picker.choose(0, 3), picker.choose(1, 3));
    assertEquals(List.of(one), picker.chosen());
  }

  @Test
  void takesASilentReplicaOnlyWhereThereIsNoOther() throws Exception {
    Replica silent = replicas.open("silent", 0);
    Replica busy = replicas.open("busy", 60);
    replicas.silence(silent);
    for (int i = 0; i < 20; i++) {
      ReplicaPicker picker =
          new ReplicaPicker(hosts(List.of(List.of(silent, busy), List.of(silent))));
      picker.choose(0, 5);
      assertEquals(List.of(busy), picker.chosen());
      picker.choose(1, 5);
      assertEquals(List.of(busy, silent), picker.chosen());
    }
  }

  @Test
  void equalsShareTheWork() throws Exception {
    Replica one = replicas.open("one", 0);
    Replica two = replicas.open("two", 0);
    Set<Replica> chosen = new HashSet<>();
    for (int i = 0; i < 100; i++) {
      ReplicaPicker picker = new ReplicaPicker(hosts(List.of(List.of(one, two))));
      picker.choose(0, 1);
      chosen.addAll(picker.chosen());
    }
    assertEquals(Set.of(one, two), chosen);
  }

  @Test
  void namesEveryExpertWithoutAHost() throws Exception {
    Replica one = replicas.open("one", 0);
    ReplicaPicker picker =
        new ReplicaPicker(hosts(List.of(List.of(one), List.of(), List.of(one), List.of())));
    picker.choose(0, 1);
    GuildhallException e = assertThrows(GuildhallException.class, () -> picker.choose(1, 1));
    assertEquals(ErrorCode.UNAVAILABLE, e.code());
    assertEquals("layer layer: no replica hosts expert 1, expert 3", e.getMessage());
  }

  private static LayerHosts hosts(List<List<Replica>> byExpert) {
    return new LayerHosts("layer", byExpert);
  }
}
