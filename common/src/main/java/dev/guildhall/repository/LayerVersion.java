package dev.guildhall.repository;

import java.util.function.Predicate;

/**
 * A layer as its files were at one time.
 *
 * @param name of the layer
 * @param digest SHA-256 in hexadecimal digits, as {@link LayerDigest} makes it
 */
public record LayerVersion(String name, String digest) {
  private static final int SHORT = 12;

  /**
   * The version that a layer's files make now; reads all that it uses.
   *
   * @throws dev.guildhall.error.GuildhallException INVALID_ARGUMENT naming the file that cannot be
   *     read, or the tensor that is not what the folder lists
   */
  public static LayerVersion of(Layer layer) {
    return of(layer, LayerFolder.of(layer.folder()), tensor -> true);
  }

  /**
   * As {@link #of(Layer)}; reads no more of listed tensors than the caller's own.
   *
   * @param own the names of tensors that the caller computes with
   */
  static LayerVersion of(Layer layer, LayerFolder files, Predicate<String> own) {
    return new LayerVersion(layer.name(), LayerDigest.of(layer, files, own));
  }

  /** For messages: the name and the digest's first digits. */
  @Override
  public String toString() {
    return digest.isEmpty()
        ? name
        : name + "@" + digest.substring(0, Math.min(SHORT, digest.length()));
  }
}
