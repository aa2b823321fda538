package dev.guildhall.repository;

import static java.nio.charset.StandardCharsets.UTF_8;

import dev.guildhall.error.GuildhallException;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;

/**
 * Tells the versions of a layer apart: SHA-256 over the names, sizes and contents of all files in
 * its folder. Services that read the same files find the same version, wherever these lie.
 */
final class LayerDigest {
  private static final int READ_BYTES = 1 << 20;

  private LayerDigest() {}

  /**
   * Reads the files.
   *
   * @return hexadecimal digits
   * @throws GuildhallException INVALID_ARGUMENT naming the file that cannot be read
   */
  static String of(LayerFolder folder) {
    MessageDigest sha256 = sha256();
    byte[] buffer = new byte[READ_BYTES];
    for (Path file : folder.files()) {
      byte[] name = folder.path().relativize(file).toString().replace('\\', '/').getBytes(UTF_8);
      try (InputStream in = Files.newInputStream(file)) {
        sha256.update(
            ByteBuffer.allocate(Integer.BYTES + Long.BYTES)
                .putInt(name.length)
                .putLong(Files.size(file))
                .flip());
        sha256.update(name);
        for (int read = in.read(buffer); read >= 0; read = in.read(buffer)) {
          sha256.update(buffer, 0, read);
        }
      } catch (IOException e) {
        throw GuildhallException.invalidArgument("%s cannot be read: %s".formatted(file, e));
      }
    }
    return HexFormat.of().formatHex(sha256.digest());
  }

  private static MessageDigest sha256() {
    try {
      return MessageDigest.getInstance("SHA-256");
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException("every Java platform has SHA-256", e);
    }
  }
}
