package dev.guildhall.expert.exchange;

import dev.guildhall.error.ErrorCode;
import dev.guildhall.error.GuildhallException;
import dev.guildhall.proto.DescribeResponse;
import dev.guildhall.repository.LayerVersion;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.function.Consumer;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The versions of layers that this replica hosts. One that is replaced or retired stays as long as
 * a router that watches uses it.
 *
 * <p>Batches read a snapshot; changes are made under a lock, which is held while followers are
 * told.
 */
public final class HostedExperts implements AutoCloseable {
  private static final Logger log = LoggerFactory.getLogger(HostedExperts.class);

  /**
   * What is hosted at one moment.
   *
   * @param current by layer
   * @param all the current ones, and those that are still in use
   */
  private record Snapshot(Map<String, HostedVersion> current, List<HostedVersion> all) {}

  private final String device;
  private volatile Snapshot snapshot = new Snapshot(new TreeMap<>(), List.of());

  // Guarded by this object's lock.
  private boolean closed;
  private final Map<Follower, Set<LayerVersion>> followers = new HashMap<>();

  /**
   * Hosts nothing yet.
   *
   * @param device where experts compute: "cpu" or "cuda:0"
   */
  public HostedExperts(String device) {
    this.device = device;
  }

  /** Hosts a version from now on, in the place of the layer's one before. */
  public synchronized void host(HostedVersion version) {
    if (closed) {
      version.uses().release();
      return;
    }
    Map<String, HostedVersion> current = new TreeMap<>(snapshot.current);
    current.put(version.version().name(), version);
    List<HostedVersion> all = new ArrayList<>(snapshot.all);
    all.add(version);
    change(current, all);
  }

  /** Hosts no version of the layer any more. */
  public synchronized void retire(String layer) {
    Map<String, HostedVersion> current = new TreeMap<>(snapshot.current);
    current.remove(layer);
    change(current, snapshot.all);
  }

  private void change(Map<String, HostedVersion> current, Collection<HostedVersion> all) {
    Set<LayerVersion> inUse = new LinkedHashSet<>();
    followers.values().forEach(inUse::addAll);
    List<HostedVersion> kept = new ArrayList<>();
    List<HostedVersion> left = new ArrayList<>();
    for (HostedVersion version : all) {
      (isKept(version, current, inUse) ? kept : left).add(version);
    }
    snapshot = new Snapshot(current, List.copyOf(kept));
    DescribeResponse description = describe();
    followers.keySet().forEach(follower -> follower.listener.accept(description));
    for (HostedVersion version : left) {
      log.info("layer {} is not hosted any more", version.version());
      version.uses().release();
    }
  }

  private static boolean isKept(
      HostedVersion version, Map<String, HostedVersion> current, Set<LayerVersion> inUse) {
    HostedVersion now = current.get(version.version().name());
    if (now == null) {
      return inUse.contains(version.version());
    }
    // The same files loaded once more serve those who use the version as well.
    return version.equals(now)
        || (inUse.contains(version.version()) && !version.version().equals(now.version()));
  }

  /**
   * A version for a batch, whose use is acquired.
   *
   * @param digest of the version; empty for the one hosted last
   * @throws GuildhallException NOT_FOUND for what is not hosted here
   */
  HostedVersion acquire(String layer, String digest) {
    Snapshot now;
    do {
      now = snapshot;
      for (HostedVersion version : now.all) {
        if (isAsked(version, layer, digest, now) && version.uses().acquire()) {
          return version;
        }
      }
    } while (!now.equals(snapshot)); // What was asked for may have been loaded anew meanwhile.
    throw new GuildhallException(
        ErrorCode.NOT_FOUND,
        "layer \"%s\" is not hosted here; hosted are: %s"
            .formatted(
                new LayerVersion(layer, digest),
                String.join(", ", now.all.stream().map(v -> v.version().toString()).toList())));
  }

  private static boolean isAsked(HostedVersion version, String layer, String digest, Snapshot now) {
    return digest.isEmpty()
        ? version.equals(now.current.get(layer))
        : version.version().digest().equals(digest) && version.version().name().equals(layer);
  }

  DescribeResponse describe() {
    return DescribeResponse.newBuilder()
        .setDevice(device)
        .addAllLayers(snapshot.all.stream().map(HostedVersion::describe).toList())
        .build();
  }

  /**
   * Tells what is hosted, now and whenever it changes.
   *
   * @param listener called with a lock held, so one at a time; must not block
   */
  synchronized Follower follow(Consumer<DescribeResponse> listener) {
    Follower follower = new Follower(listener);
    followers.put(follower, Set.of());
    listener.accept(describe());
    return follower;
  }

  /** A router that watches. */
  final class Follower {
    private final Consumer<DescribeResponse> listener;

    private Follower(Consumer<DescribeResponse> listener) {
      this.listener = listener;
    }

    /** Says what the router uses from now on. */
    void uses(Set<LayerVersion> versions) {
      synchronized (HostedExperts.this) {
        if (followers.replace(this, Set.copyOf(versions)) != null) {
          dropUnused();
        }
      }
    }

    void leave() {
      synchronized (HostedExperts.this) {
        if (followers.remove(this) != null) {
          dropUnused();
        }
      }
    }
  }

  private void dropUnused() {
    if (snapshot.all.size() > snapshot.current.size()) {
      change(snapshot.current, snapshot.all);
    }
  }

  /** Hosts nothing any more, whoever uses it. */
  @Override
  public synchronized void close() {
    closed = true;
    followers.clear();
    change(Map.of(), snapshot.all);
  }
}
