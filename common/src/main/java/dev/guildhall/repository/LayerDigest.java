package dev.guildhall.repository;

import static java.nio.charset.StandardCharsets.UTF_8;

import dev.guildhall.error.GuildhallException;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.HashSet;
import java.util.HexFormat;
import java.util.Optional;
import java.util.Set;
import java.util.function.Predicate;
import java.util.stream.Collectors;

/**
 * Tells the versions of a layer apart: SHA-256 over the digests of the tensors that it uses of its
 * .safetensors files, and over the names and contents of all other files in its folder. Services
 * that read the same files find the same version, wherever these lie; a file that many layers share
 * is not read once for each. Where the folder has {@link TensorDigests}, a service reads its own
 * tensors only.
 */
final class LayerDigest {
  private static final int READ_BYTES = 1 << 20;

  private final LayerFolder folder;
  private final MessageDigest sha256 = TensorDigests.sha256();

  private LayerDigest(LayerFolder folder) {
    this.folder = folder;
  }

  /**
   * Reads the files.
   *
   * @param own the names of tensors that the caller computes with
   * @return hexadecimal digits
   * @throws GuildhallException INVALID_ARGUMENT naming the file that cannot be read, or the tensor
   *     that is not what the folder lists
   */
  static String of(Layer layer, LayerFolder folder, Predicate<String> own) {
    Set<Path> listedElsewhere =
        layer.config().weights().files().stream()
            .map(layer.folder()::resolve)
            .collect(Collectors.toCollection(HashSet::new));
    listedElsewhere.add(layer.folder().resolve(TensorDigests.FILE));
    LayerDigest digest = new LayerDigest(folder);
    folder.files().stream()
        .filter(file -> !listedElsewhere.contains(file))
        .forEach(digest::addFile);
    tensors(layer, own).byName().forEach((name, tensor) -> digest.add(name + tensor, 0));
    return HexFormat.of().formatHex(digest.sha256.digest());
  }

  private static TensorDigests tensors(Layer layer, Predicate<String> own) {
    Optional<TensorDigests> listed = TensorDigests.read(layer.folder());
    listed.ifPresent(digests -> digests.check(layer, own));
    return listed.orElseGet(() -> TensorDigests.of(layer));
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
}
