package dev.guildhall.expert.batching;

/**
 * Which expert of which layer.
 *
 * @param expert 0 to E-1, and E for the residual MLP
 */
public record ExpertKey(String layer, int expert) {
  @Override
  public String toString() {
    return layer + "/" + expert;
  }
}
