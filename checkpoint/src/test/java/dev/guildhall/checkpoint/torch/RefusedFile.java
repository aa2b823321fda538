package dev.guildhall.checkpoint.torch;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.guildhall.error.ErrorCode;
import dev.guildhall.error.GuildhallException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/** Checks how a file is refused. */
final class RefusedFile {
  private RefusedFile() {}

  /** Opens a file of these bytes, which must fail naming the file and {@code why}. */
  static void check(Path folder, byte[] bytes, String why) throws IOException {
    Path file = folder.resolve("bad.pt");
    Files.write(file, bytes);
    GuildhallException e =
        assertThrows(GuildhallException.class, () -> TorchFile.open(file).close());
    assertEquals(ErrorCode.INVALID_ARGUMENT, e.code(), e.getMessage());
    assertTrue(e.getMessage().startsWith(file + ": "), e.getMessage());
    assertTrue(e.getMessage().contains(why), e.getMessage());
  }
}
