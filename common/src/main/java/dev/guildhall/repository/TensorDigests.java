package dev.guildhall.repository;

import static java.nio.charset.StandardCharsets.UTF_8;

import dev.guildhall.error.ErrorCode;
import dev.guildhall.error.GuildhallException;
import dev.guildhall.safetensors.SafetensorsFile;
import dev.guildhall.safetensors.StoredTensor;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Collections;
import java.util.HexFormat;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.function.Predicate;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;

/**
 * What a layer's tensors must be, as an import leaves it in the layer's folder: with it a service
 * need not read the tensors that others serve to tell the layer's version, and finds damage to its
 * own. A line for each tensor, as sha256sum writes them: SHA-256 of its dtype, its shape and its
 * bytes, two spaces, and its name.
 *
 * @param byName hexadecimal digits by the tensor's name
 */
public record TensorDigests(Map<String, String> byName) {
  static final String FILE = "tensors.sha256";
  private static final Pattern LINE = Pattern.compile("([0-9a-f]{64})  (.+)");

  /** A buffer view of a segment is limited to 2 GiB. */
  private static final long CHUNK_BYTES = 1L << 30;

  public TensorDigests {
    byName = Collections.unmodifiableMap(new TreeMap<>(byName));
  }

  /**
   * Reads a layer's, if it has any.
   *
   * @throws GuildhallException INVALID_ARGUMENT naming the file and the line that is not right
   */
  static Optional<TensorDigests> read(Path folder) {
    Path file = folder.resolve(FILE);
    if (!Files.exists(file)) {
      return Optional.empty();
    }
    Map<String, String> byName = new TreeMap<>();
    try {
      for (String line : Files.readAllLines(file, UTF_8)) {
        Matcher matcher = LINE.matcher(line);
        if (!matcher.matches()) {
          throw GuildhallException.invalidArgument(
              "%s: a line is \"%s\"; allowed are 64 hexadecimal digits, two spaces and a tensor's name"
                  .formatted(file, line));
        }
        byName.put(matcher.group(2), matcher.group(1));
      }
    } catch (IOException e) {
      throw GuildhallException.invalidArgument("%s cannot be read: %s".formatted(file, e));
    }
    return Optional.of(new TensorDigests(byName));
  }

  /** Writes them into a layer's folder. */
  public void write(Path folder) throws IOException {
    StringBuilder lines = new StringBuilder();
    byName.forEach((name, digest) -> lines.append(digest).append("  ").append(name).append('\n'));
    Files.writeString(folder.resolve(FILE), lines);
  }

  /** Computes them of all tensors that a layer uses. */
  public static TensorDigests of(Layer layer) {
    Map<String, String> byName = new TreeMap<>();
    forEachTensor(layer, (file, name, tensor) -> byName.put(name, of(tensor)));
    return new TensorDigests(byName);
  }

  /**
   * Looks whether tensors of a layer are those that are listed.
   *
   * @param which their names
   * @throws GuildhallException INVALID_ARGUMENT naming one that is not, or is missing
   */
  void check(Layer layer, Predicate<String> which) {
    Set<String> left = byName.keySet().stream().filter(which).collect(Collectors.toSet());
    forEachTensor(
        layer,
        (file, name, tensor) -> {
          if (which.test(name)) {
            left.remove(name);
            if (!of(tensor).equals(byName.get(name))) {
              throw GuildhallException.invalidArgument(
                  "%s: tensor \"%s\" is not the one that %s lists: the file was damaged, or changed after the import"
                      .formatted(file, name, FILE));
            }
          }
        });
    if (!left.isEmpty()) {
      throw GuildhallException.invalidArgument(
          "%s lists the tensor \"%s\", which none of the layer's files has"
              .formatted(layer.folder().resolve(FILE), left.iterator().next()));
    }
  }

  private interface Visitor {
    void visit(Path file, String name, StoredTensor tensor);
  }

  private static void forEachTensor(Layer layer, Visitor visitor) {
    WeightNames names = layer.config().weights();
    for (String name : names.files()) {
      Path path = layer.folder().resolve(name);
      if (!Files.exists(path)) {
        continue; // Whoever opens the weights says so.
      }
      try (SafetensorsFile file = SafetensorsFile.open(path)) {
        file.tensors()
            .forEach((tensor, data) -> {
              if (names.used(tensor)) {
                stopIfInterrupted(layer);
                visitor.visit(path, tensor, data);
              }
            });
      }
    }
  }

  /** All of a large layer takes minutes. */
  private static void stopIfInterrupted(Layer layer) {
    if (Thread.currentThread().isInterrupted()) {
      throw new GuildhallException(
          ErrorCode.CANCELLED, "layer %s: reading it was interrupted".formatted(layer.name()));
    }
  }

  private static String of(StoredTensor tensor) {
    MessageDigest sha256 = sha256();
    sha256.update((tensor.dtype() + " " + tensor.shape() + "\n").getBytes(UTF_8));
    for (long done = 0; done < tensor.data().byteSize(); done += CHUNK_BYTES) {
      long step = Math.min(CHUNK_BYTES, tensor.data().byteSize() - done);
      sha256.update(tensor.data().asSlice(done, step).asByteBuffer());
    }
    return HexFormat.of().formatHex(sha256.digest());
  }

  static MessageDigest sha256() {
    try {
      return MessageDigest.getInstance("SHA-256");
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException("every Java platform has SHA-256", e);
    }
  }
}
