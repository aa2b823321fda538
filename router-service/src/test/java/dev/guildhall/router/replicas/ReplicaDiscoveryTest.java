package dev.guildhall.router.replicas;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.guildhall.error.ErrorCode;
import dev.guildhall.error.GuildhallException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.time.Duration;
import java.util.List;
import java.util.Set;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class ReplicaDiscoveryTest {
  private final BlockingQueue<Set<String>> found = new LinkedBlockingQueue<>();

  @Test
  void aStaticTargetIsTakenAsItStands() throws InterruptedException {
    List<String> targets =
        List.of(
            "expert-0:8101",
            "10.0.0.7:8101",
            "[::1]:8101",
            "unix:///run/expert.sock",
            "inprocess:a");
    assertEquals(Set.copyOf(targets), resolve(targets));
  }

  @Test
  void aDnsNameBecomesOneTargetAnAddress() throws InterruptedException {
    Set<String> targets = resolve(List.of("dns:///localhost:8101", "other:8102"));
    assertTrue(targets.contains("other:8102"), targets.toString());
    assertTrue(
        targets.contains("127.0.0.1:8101") || targets.contains("[0:0:0:0:0:0:0:1]:8101"),
        targets.toString());
  }

  @Test
  void anAddressOfDnsFormIsItself() throws InterruptedException {
    assertEquals(Set.of("127.0.0.1:1"), resolve(List.of("dns:///127.0.0.1:1")));
  }

  @Test
  void aNameThatDoesNotResolveLeavesTheOthers() throws InterruptedException {
    assertEquals(
        Set.of("other:8102"), resolve(List.of("dns:///no-such-host.invalid:8101", "other:8102")));
  }

  @Test
  void aFileIsReadAgain(@TempDir Path folder) throws Exception {
    Path file = folder.resolve("experts");
    Files.writeString(file, "# rank 0\none:1\n\n  dns:///127.0.0.1:2\n");
    try (ReplicaDiscovery discovery =
        new ReplicaDiscovery(List.of("file://" + file), Duration.ofMillis(20), found::add)) {
      discovery.start();
      assertEquals(Set.of("one:1", "127.0.0.1:2"), found.poll(30, TimeUnit.SECONDS));
      replace(file, "not a target\n");
      replace(file, "two:2\n");
      assertEquals(Set.of("two:2"), found.poll(30, TimeUnit.SECONDS));
    }
  }

  private static void replace(Path file, String content) throws IOException {
    Path next = Files.writeString(file.resolveSibling("next"), content);
    Files.move(next, file, StandardCopyOption.ATOMIC_MOVE);
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "",
        "expert",
        "expert:",
        "expert:port",
        ":8101",
        "http://expert:8101",
        "dns:///expert",
        "dns://8.8.8.8/expert:8101",
        "dns:expert:8101",
        "unix:///",
        "file:relative",
        "file://host/path",
        "expert one:8101",
        "expert:123456",
        "expert:65536",
        "dns:///expert:65536"
      })
  void refusesAnyOtherForm(String target) {
    GuildhallException e =
        assertThrows(
            GuildhallException.class,
            () -> new ReplicaDiscovery(List.of(target), Duration.ofSeconds(1), found::add).close());
    assertEquals(ErrorCode.INVALID_ARGUMENT, e.code());
    assertEquals(
        "target is \"%s\"; allowed is host:port, dns:///name:port, unix:///path or file:///path"
            .formatted(target),
        e.getMessage());
  }

  private Set<String> resolve(List<String> targets) throws InterruptedException {
    try (ReplicaDiscovery discovery =
        new ReplicaDiscovery(targets, Duration.ofMillis(20), found::add)) {
      discovery.start();
      Set<String> first = found.poll(30, TimeUnit.SECONDS);
      return first == null ? Set.of() : first;
    }
  }
}
