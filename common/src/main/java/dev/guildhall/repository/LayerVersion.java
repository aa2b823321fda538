package dev.guildhall.repository;

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
   *     read
   */
  public static LayerVersion of(Layer layer) {
    return of(layer, LayerFolder.of(layer.folder()));
  }

  static LayerVersion of(Layer layer, LayerFolder files) {
    return new LayerVersion(layer.name(), LayerDigest.of(layer, files));
  }

  /** For messages: the name and the digest's first digits. */
  @Override
  public String toString() {
    return digest.isEmpty()
        ? name
        : name + "@" + digest.substring(0, Math.min(SHORT, digest.length()));
  }
}
