package dev.guildhall.checkpoint;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class NewFolderTest {
  @TempDir private Path root;

  @Test
  void appearsWhenItIsFinished() throws IOException {
    Path parent = root.resolve("a/b");
    try (NewFolder folder = NewFolder.create(parent, "c")) {
      Files.writeString(folder.path().resolve("file"), "text");
      assertFalse(Files.exists(parent.resolve("c")));
      folder.finish();
    }
    assertEquals("text", Files.readString(parent.resolve("c/file")));
  }

  @Test
  void leavesNothingWhenItIsNot() throws IOException {
    try (NewFolder folder = NewFolder.create(root.resolve("a/b"), "c")) {
      Files.createDirectories(folder.path().resolve("deep/er"));
    }
    assertFalse(Files.exists(root.resolve("a")));
  }

  @Test
  void leavesWhatOthersPutBesideIt() throws IOException {
    Path parent = root.resolve("a/b");
    try (NewFolder _ = NewFolder.create(parent, "c")) {
      Files.createDirectory(parent.resolve("other"));
    }
    assertTrue(Files.exists(parent.resolve("other")));
    assertFalse(Files.exists(parent.resolve("c")));
  }

  @Test
  void leavesNothingWhereNoFolderCanBeMade() throws IOException {
    Path file = Files.writeString(root.resolve("file"), "text");
    assertThrows(
        FileAlreadyExistsException.class, () -> NewFolder.create(file, "c"), "a file is no folder");
    assertThrows(IOException.class, () -> NewFolder.create(file.resolve("a/b"), "c"));
  }
}
