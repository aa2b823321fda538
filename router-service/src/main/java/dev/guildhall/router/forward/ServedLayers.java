package dev.guildhall.router.forward;

import dev.guildhall.error.ErrorCode;
import dev.guildhall.error.GuildhallException;
import java.util.Collection;
import java.util.Collections;
import java.util.SortedMap;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;

/** The layers that a router serves, one version each. Thread-safe. */
public final class ServedLayers implements AutoCloseable {
  /** Replaced, never changed. */
  private volatile SortedMap<String, ServedLayer> byName = Collections.emptySortedMap();

  /** Guarded by this object's lock. */
  private boolean closed;

  /** Serves a version from now on, in the place of the one before, whose use ends. */
  public synchronized void serve(ServedLayer layer) {
    if (closed) {
      layer.close();
      return;
    }
    SortedMap<String, ServedLayer> next = new TreeMap<>(byName);
    ServedLayer before = next.put(layer.name(), layer);
    change(next, before);
  }

  /** Serves the layer no more, if it did. */
  public synchronized void remove(String name) {
    SortedMap<String, ServedLayer> next = new TreeMap<>(byName);
    ServedLayer before = next.remove(name);
    change(next, before);
  }

  private void change(SortedMap<String, ServedLayer> next, @Nullable ServedLayer before) {
    byName = next;
    if (before != null) {
      before.close();
    }
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
    SortedMap<String, ServedLayer> now = byName;
    ServedLayer layer = now.get(name);
    if (layer == null) {
      throw new GuildhallException(
          ErrorCode.NOT_FOUND,
          "layer is \"%s\"; there are: %s".formatted(name, String.join(", ", now.keySet())));
    }
    return layer;
  }

  /**
   * The same, its use acquired.
   *
   * @throws GuildhallException as {@link #layer} does
   */
  public ServedLayer acquire(String name) {
    ServedLayer layer = layer(name);
    while (!layer.uses().acquire()) {
      layer = layer(name); // It was replaced between the two.
    }
    return layer;
  }

  @Override
  public synchronized void close() {
    SortedMap<String, ServedLayer> last = byName;
    byName = Collections.emptySortedMap();
    closed = true;
    last.values().forEach(ServedLayer::close);
  }
}
