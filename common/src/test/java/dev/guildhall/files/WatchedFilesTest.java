package dev.guildhall.files;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.guildhall.error.ErrorCode;
import dev.guildhall.error.GuildhallException;
import dev.guildhall.rpc.Await;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class WatchedFilesTest {
  private static final Duration INTERVAL = Duration.ofMillis(2);

  private final KeptFiles kept = new KeptFiles();
  private final List<String> taken = new CopyOnWriteArrayList<>();

  @TempDir private Path folder;

  @AfterEach
  void stop() {
    kept.close();
  }

  private void take(List<byte[]> contents) {
    String text = new String(contents.getFirst(), StandardCharsets.UTF_8);
    if (text.startsWith("bad")) {
      throw GuildhallException.invalidArgument(text);
    }
    taken.add(text);
  }

  @Test
  void takesWhatChangesAndLogsOnceAChangeWhatItCannotTake() throws Exception {
    Path file = write("a.json", "one");
    try (WatchedFiles _ = WatchedFiles.open(List.of(file), INTERVAL, this::take)) {
      write("a.json", "two");
      Await.until("two", () -> taken.equals(List.of("one", "two")));
      write("a.json", "bad 1");
      Await.until("a warning", () -> kept.warnings().size() == 1);
      Files.delete(file);
      Await.until("another", () -> kept.warnings().size() == 2);
      write("a.json", "bad 2");
      Await.until("a third", () -> kept.warnings().size() == 3);
      write("a.json", "three");
      Await.until("three", () -> taken.size() == 3);
      assertEquals(List.of("one", "two", "three"), taken);
      String text = "what was read before stays in use: ";
      assertEquals(
          List.of(text + "bad 1", text + file + " does not exist", text + "bad 2"),
          kept.warnings());
    }
  }

  /** As Kubernetes changes the files of a mounted secret. */
  @Test
  void seesTheTargetOfALinkChange() throws Exception {
    Path link = folder.resolve("data");
    Files.createDirectory(folder.resolve("v1"));
    Files.createDirectory(folder.resolve("v2"));
    write("v1/a.json", "one");
    write("v2/a.json", "two");
    Files.createSymbolicLink(link, Path.of("v1"));
    try (WatchedFiles _ =
        WatchedFiles.open(List.of(link.resolve("a.json")), INTERVAL, this::take)) {
      Path next = Files.createSymbolicLink(folder.resolve("next"), Path.of("v2"));
      Files.move(next, link, StandardCopyOption.ATOMIC_MOVE);
      Await.until("two", () -> taken.equals(List.of("one", "two")));
      assertEquals(List.of(), kept.warnings());
    }
  }

  @Test
  void refusesAtTheStartNamingTheFile() throws Exception {
    refuses(ErrorCode.NOT_FOUND, folder.resolve("missing"), "missing does not exist");
    refuses(ErrorCode.INVALID_ARGUMENT, folder, folder + " cannot be read");
    refuses(ErrorCode.INVALID_ARGUMENT, write("a.json", "bad 1"), "bad 1");
    refuses(ErrorCode.INVALID_ARGUMENT, Path.of("/dev/zero"), "more than 4194304 bytes");
  }

  private void refuses(ErrorCode code, Path file, String message) {
    GuildhallException e =
        assertThrows(
            GuildhallException.class,
            () -> WatchedFiles.open(List.of(file), INTERVAL, this::take).close());
    assertEquals(code, e.code());
    assertTrue(e.getMessage().contains(message), e.getMessage());
  }

  private Path write(String name, String text) throws Exception {
    // In one step: a look in the middle of a write would see half of it.
    Path whole = Files.writeString(folder.resolve("whole"), text);
    return Files.move(whole, folder.resolve(name), StandardCopyOption.ATOMIC_MOVE);
  }
}
