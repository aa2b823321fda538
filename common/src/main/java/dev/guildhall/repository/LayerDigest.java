package dev.guildhall.repository;

import static java.nio.charset.StandardCharsets.UTF_8;

import dev.guildhall.error.GuildhallException;
import dev.guildhall.safetensors.SafetensorsFile;
import dev.guildhall.safetensors.StoredTensor;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.Map;
import java.util.Set;
import java.util.function.Predicate;
import java.util.stream.Collectors;

/**
 * Tells the versions of a layer apart: SHA-256 over the tensors that it uses of its .safetensors
 * files, and over the names and contents of all other files in its folder. Services that read the
 * same files find the same version, wherever these lie; a file that many layers share is not read
 * once for each.
 */
final class LayerDigest {
  private static final int READ_BYTES = 1 << 20;

  /** A buffer view of a segment is limited to 2 GiB. */
  private static final long CHUNK_BYTES = 1L << 30;

  private final LayerFolder folder;
  private final MessageDigest sha256 = sha256();

  private LayerDigest(LayerFolder folder) {
    this.folder = folder;
  }

  /**
   * Reads the files.
   *
   * @return hexadecimal digits
   * @throws GuildhallException INVALID_ARGUMENT naming the file that cannot be read
   */
  static String of(Layer layer, LayerFolder folder) {
    WeightNames weights = layer.config().weights();
    Set<Path> weightFiles =
        weights.files().stream().map(layer.folder()::resolve).collect(Collectors.toSet());
    LayerDigest digest = new LayerDigest(folder);
    for (Path file : folder.files()) {
      if (weightFiles.contains(file)) {
        digest.addTensors(file, weights::used);
      } else {
        digest.addFile(file);
      }
    }
    return HexFormat.of().formatHex(digest.sha256.digest());
  }

  private void addTensors(Path file, Predicate<String> used) {
    add(name(file), -1);
    try (SafetensorsFile tensors = SafetensorsFile.open(file)) {
      tensors.tensors().entrySet().stream()
          .filter(entry -> used.test(entry.getKey()))
          .sorted(Map.Entry.comparingByKey())
          .forEach(entry -> addTensor(entry.getKey(), entry.getValue()));
    }
  }

  private void addTensor(String name, StoredTensor tensor) {
    add(name + tensor.dtype() + tensor.shape(), tensor.data().byteSize());
    for (long done = 0; done < tensor.data().byteSize(); done += CHUNK_BYTES) {
      long step = Math.min(CHUNK_BYTES, tensor.data().byteSize() - done);
      sha256.update(tensor.data().asSlice(done, step).asByteBuffer());
    }
  }

  private void addFile(Path file) {
    byte[] buffer = new byte[READ_BYTES];
    try (InputStream in = Files.newInputStream(file)) {
      add(name(file), Files.size(file));
      for (int read = in.read(buffer); read >= 0; read = in.read(buffer)) {
        sha256.update(buffer, 0, read);
      }
    } catch (IOException e) {
      throw GuildhallException.invalidArgument("%s cannot be read: %s".formatted(file, e));
    }
  }

  private String name(Path file) {
    return folder.path().relativize(file).toString().replace('\\', '/');
  }

  /** With lengths, so that no two sequences of names and contents look alike. */
  private void add(String name, long contentBytes) {
    byte[] utf8 = name.getBytes(UTF_8);
    sha256.update(
        ByteBuffer.allocate(Integer.BYTES + Long.BYTES)
            .putInt(utf8.length)
            .putLong(contentBytes)
            .flip());
    sha256.update(utf8);
  }

  private static MessageDigest sha256() {
    try {
      return MessageDigest.getInstance("SHA-256");
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException("every Java platform has SHA-256", e);
    }
  }
}
