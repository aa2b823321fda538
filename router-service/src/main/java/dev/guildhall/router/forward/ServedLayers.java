package dev.guildhall.router.forward;

import dev.guildhall.error.ErrorCode;
import dev.guildhall.error.GuildhallException;
import java.util.Collection;
import java.util.SortedMap;
import java.util.TreeMap;

/** The layers that a router serves, by name. Immutable. */
public final class ServedLayers {
  private final SortedMap<String, ServedLayer> byName = new TreeMap<>();

  public ServedLayers(Collection<ServedLayer> layers) {
    layers.forEach(layer -> byName.put(layer.name(), layer));
  }

  /** All of them, in the order of their names. */
  public Collection<ServedLayer> all() {
    return byName.values();
  }

  /**
   * One layer.
   *
   * @throws GuildhallException NOT_FOUND naming the layers that there are
   */
  public ServedLayer layer(String name) {
    ServedLayer layer = byName.get(name);
    if (layer == null) {
      throw new GuildhallException(
          ErrorCode.NOT_FOUND,
          "layer is \"%s\"; there are: %s".formatted(name, String.join(", ", byName.keySet())));
    }
    return layer;
  }
}
