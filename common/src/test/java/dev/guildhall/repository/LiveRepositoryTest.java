package dev.guildhall.repository;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.guildhall.error.ErrorCode;
import dev.guildhall.error.GuildhallException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.time.Duration;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.function.Predicate;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class LiveRepositoryTest {
  private final Path folder;

  private final BlockingQueue<String> events = new LinkedBlockingQueue<>();
  private final Recording host = new Recording();
  private final LiveRepository<Opened> repository;

  LiveRepositoryTest(@TempDir Path folder) {
    this.folder = folder;
    this.repository = new LiveRepository<>(folder, host);
  }

  /** What is opened says so when it is closed. */
  private record Opened(LayerVersion version, BlockingQueue<String> events)
      implements AutoCloseable {
    @Override
    public void close() {
      events.add("close " + version.name());
    }
  }

  private final class Recording implements LiveRepository.Host<Opened> {
    private volatile Runnable whileOpening = () -> {};

    @Override
    public Predicate<String> tensors(Layer layer) {
      return tensor -> true;
    }

    @Override
    public Opened open(Layer layer, LayerVersion version) {
      whileOpening.run();
      return new Opened(version, events);
    }

    @Override
    public void serve(Opened opened) {
      events.add("serve " + opened.version().name());
    }

    @Override
    public void unload(String name) {
      events.add("unload " + name);
    }
  }

  private void start(String... layers) throws IOException {
    for (String layer : layers) {
      write(layer, "4");
    }
    repository.loadAll();
    for (String layer : layers) {
      assertEquals("serve " + layer, events.remove());
    }
  }

  @AfterEach
  void stop() {
    repository.close();
  }

  private void write(String layer, String hiddenSize) throws IOException {
    Path path = folder.resolve(layer);
    Files.createDirectories(path);
    Path next = path.resolve(".layer.json");
    Files.writeString(
        next, "{\"hidden_size\": %s, \"mlp\": {\"activation\": \"relu\"}}".formatted(hiddenSize));
    Files.move(next, path.resolve("layer.json"), StandardCopyOption.ATOMIC_MOVE);
  }

  private String next() throws InterruptedException {
    return String.valueOf(events.poll(30, TimeUnit.SECONDS));
  }

  @Test
  void loadsALayerOnlyIfItsFilesDiffer() throws Exception {
    start("a", "b");
    LayerVersion before = repository.load("a").get();
    assertTrue(events.isEmpty());
    write("a", "8");
    LayerVersion after = repository.load("a").get();
    assertEquals("serve a", events.remove());
    assertNotEquals(before, after);
    write("a", "4");
    assertEquals(before, repository.load("a").get());
  }

  @Test
  void anyFileOfTheFolderMakesTheVersion() throws Exception {
    start("a");
    LayerVersion before = repository.load("a").get();
    Files.writeString(folder.resolve("a").resolve("weights"), "1");
    LayerVersion after = repository.load("a").get();
    assertNotEquals(before, after);
    Files.writeString(folder.resolve("a").resolve(".hidden"), "1");
    assertEquals(after, repository.load("a").get());
    assertTrue(after.digest().matches("[0-9a-f]{64}"));
  }

  @Test
  void theSameFilesElsewhereAreTheSameVersion(@TempDir Path elsewhere) throws Exception {
    start("a");
    Files.createDirectory(elsewhere.resolve("a"));
    Files.copy(
        folder.resolve("a").resolve("layer.json"), elsewhere.resolve("a").resolve("layer.json"));
    try (LiveRepository<Opened> other = new LiveRepository<>(elsewhere, host)) {
      other.loadAll();
      assertEquals(repository.load("a").get(), other.load("a").get());
    }
  }

  @Test
  void unloadsUntilItIsLoadedAgain() throws Exception {
    start("a");
    repository.unload("a").get();
    assertEquals("unload a", events.remove());
    assertCode(ErrorCode.NOT_FOUND, repository.unload("a"));
    repository.load("a").get();
    assertEquals("serve a", events.remove());
  }

  @ParameterizedTest
  @ValueSource(strings = {"", "b", "..", "../a", "/etc", "a/../a", "a/layer.json"})
  void knowsNoOtherNamesThanThoseOfItsLayers(String name) throws Exception {
    start("a");
    assertCode(ErrorCode.NOT_FOUND, repository.load(name));
    assertTrue(events.isEmpty());
  }

  @Test
  void filesThatChangeWhileTheyAreReadAreNotServed() throws Exception {
    start("a");
    write("a", "8");
    host.whileOpening =
        () -> {
          try {
            write("a", "16");
          } catch (IOException e) {
            throw new UncheckedIOException(e);
          }
        };
    assertCode(ErrorCode.INVALID_ARGUMENT, repository.load("a"));
    assertEquals("close a", events.remove());
    assertTrue(events.isEmpty());
  }

  @Test
  void followsTheFolderItWatches() throws Exception {
    start("a");
    repository.watch(Duration.ofMillis(10));
    write("b", "4");
    assertEquals("serve b", next());
    write("a", "0");
    write("b", "8");
    assertEquals("serve b", next());
    write("a", "8");
    assertEquals("serve a", next());
    Files.delete(folder.resolve("b").resolve("layer.json"));
    assertEquals("unload b", next());
  }

  @Test
  void aFolderThatIsGoneUnloadsNothing(@TempDir Path elsewhere) throws Exception {
    start("a");
    repository.watch(Duration.ofMillis(1));
    Files.move(folder, elsewhere.resolve("moved"));
    assertCode(ErrorCode.NOT_FOUND, repository.load("a"));
    Files.move(elsewhere.resolve("moved"), folder);
    write("b", "4");
    assertEquals("serve b", next());
    assertFalse(events.contains("unload a"));
  }

  private static void assertCode(ErrorCode code, CompletableFuture<?> outcome) {
    ExecutionException e =
        assertThrows(ExecutionException.class, () -> outcome.get(30, TimeUnit.SECONDS));
    assertEquals(code, assertInstanceOf(GuildhallException.class, e.getCause()).code());
  }
}
