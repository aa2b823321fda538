package dev.guildhall.router.replicas;

import static java.util.stream.Collectors.joining;

import dev.guildhall.proto.HostedLayer;
import dev.guildhall.repository.LayerConfig;
import dev.guildhall.repository.LayerVersion;
import io.grpc.ManagedChannel;
import io.grpc.SynchronizationContext;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.concurrent.ScheduledExecutorService;
import java.util.function.Consumer;
import java.util.function.Function;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The replicas that a router is connected to, published as a {@link RoutingTable}.
 *
 * <p>All changes happen in one synchronization context; {@link #table()} may be read by any thread.
 */
public final class ReplicaDirectory implements AutoCloseable {
  private static final Logger log = LoggerFactory.getLogger(ReplicaDirectory.class);

  private final Function<String, ManagedChannel> channels;
  private final ScheduledExecutorService timer;
  private final Outliers outliers;
  private final SynchronizationContext context =
      new SynchronizationContext(
          (thread, failure) -> log.error("replica directory failed in {}", thread, failure));

  // Confined to the context.
  private boolean closed;
  private final Map<String, ReplicaConnection> connections = new HashMap<>();
  private final Map<String, Replica> connected = new TreeMap<>();
  private final Map<LayerVersion, Routed> routed = new LinkedHashMap<>();

  private final List<Consumer<RoutingTable>> listeners = new ArrayList<>();

  /** What is named, and what is connected of it; replaced, never changed. */
  private volatile SortedMap<String, Optional<Replica>> targets = Collections.emptySortedMap();

  private volatile RoutingTable table = new RoutingTable(0, Map.of());

  /**
   * A version that is routed for.
   *
   * @param users those who have asked for it; it may be loaded again before it is left
   */
  private record Routed(LayerConfig config, int users) {}

  /**
   * @param channels opens a channel to a target
   * @param timer runs reconnection
   * @param outliers hears of connections that break
   */
  public ReplicaDirectory(
      Function<String, ManagedChannel> channels,
      ScheduledExecutorService timer,
      Outliers outliers) {
    this.channels = channels;
    this.timer = timer;
    this.outliers = outliers;
  }

  public RoutingTable table() {
    return table;
  }

  /** How the replicas that are named do, in the order of their names. */
  public List<ReplicaStatus> status() {
    List<ReplicaStatus> all = new ArrayList<>();
    targets.forEach((target, replica) ->
        all.add(replica.map(Replica::status).orElse(ReplicaStatus.unreachable(target))));
    return all;
  }

  /** Number of replicas connected. */
  public long connected() {
    return table.replicas();
  }

  /**
   * Tells the present table and each new one.
   *
   * @param listener called in the context; must not block
   */
  public void onChange(Consumer<RoutingTable> listener) {
    context.execute(() -> {
      listeners.add(listener);
      listener.accept(table);
    });
  }

  /** Looks for hosts of a version from now on; replicas are asked to keep it. */
  public void route(LayerVersion version, LayerConfig config) {
    context.execute(() -> {
      routed.merge(version, new Routed(config, 1), (had, one) -> new Routed(config, had.users + 1));
      versionsChanged();
    });
  }

  /** Takes one {@link #route} of a version back. */
  public void forget(LayerVersion version) {
    context.execute(() -> {
      routed.computeIfPresent(
          version, (key, had) -> had.users == 1 ? null : new Routed(had.config, had.users - 1));
      versionsChanged();
    });
  }

  private void versionsChanged() {
    connections.values().forEach(connection -> connection.uses(routed.keySet()));
    publish();
  }

  /** Connects to the targets that are new, and leaves those that are not named any more. */
  public void targets(Set<String> targets) {
    Set<String> wanted = Set.copyOf(targets);
    context.execute(() -> retarget(wanted));
  }

  private void retarget(Set<String> wanted) {
    if (closed && !wanted.isEmpty()) {
      return;
    }
    for (Map.Entry<String, ReplicaConnection> entry : List.copyOf(connections.entrySet())) {
      if (!wanted.contains(entry.getKey())) {
        connections.remove(entry.getKey());
        leave(entry.getValue());
      }
    }
    wanted.stream().filter(target -> !connections.containsKey(target)).forEach(this::connect);
    publishTargets();
  }

  private void publishTargets() {
    SortedMap<String, Optional<Replica>> now = new TreeMap<>();
    connections
        .keySet()
        .forEach(target -> now.put(target, Optional.ofNullable(connected.get(target))));
    targets = now;
  }

  private void leave(ReplicaConnection connection) {
    if (closed) {
      connection.close();
    } else {
      connection.leave();
    }
  }

  private void connect(String target) {
    ReplicaConnection connection =
        new ReplicaConnection(
            target,
            channels.apply(target),
            context,
            timer,
            outliers,
            new ReplicaConnection.Owner() {
              @Override
              public void connected(Replica replica) {
                connected.put(target, replica);
                log.info("replica {} connected, hosts {}", replica, hosted(replica));
                publish();
              }

              @Override
              public void changed(Replica replica) {
                log.info("replica {} hosts {}", replica, hosted(replica));
                publish();
              }

              @Override
              public void lost(Replica replica) {
                connected.remove(target, replica);
                if (!closed) {
                  log.warn("replica {} lost", replica);
                  publish();
                }
              }
            });
    connections.put(target, connection);
    connection.uses(routed.keySet());
    connection.connect();
  }

  private void publish() {
    publishTargets();
    Map<LayerVersion, LayerHosts> hosts = new LinkedHashMap<>();
    routed.forEach((version, of) -> hosts.put(version, hostsOf(version, of.config)));
    table = new RoutingTable(table.version() + 1, hosts);
    listeners.forEach(listener -> listener.accept(table));
  }

  private LayerHosts hostsOf(LayerVersion version, LayerConfig config) {
    List<List<Replica>> byExpert = new ArrayList<>();
    for (int expert = 0; expert < config.hostedExperts(); expert++) {
      byExpert.add(new ArrayList<>());
    }
    for (Replica replica : connected.values()) {
      for (HostedLayer hosted : replica.layers()) {
        if (isVersion(hosted, version) && fits(hosted, config, replica)) {
          hosted.getExpertsList().stream()
              .filter(expert -> expert >= 0 && expert < byExpert.size())
              .map(byExpert::get)
              .filter(hosts -> !hosts.contains(replica))
              .forEach(hosts -> hosts.add(replica));
        }
      }
    }
    return new LayerHosts(version.name(), byExpert);
  }

  /** A replica that does not tell the version is trusted. */
  private static boolean isVersion(HostedLayer hosted, LayerVersion version) {
    return hosted.getName().equals(version.name())
        && (hosted.getDigest().isEmpty() || hosted.getDigest().equals(version.digest()));
  }

  /** A replica whose layer is of another shape is not used: its rows would be wrong. */
  private static boolean fits(HostedLayer hosted, LayerConfig config, Replica replica) {
    boolean fits =
        hosted.getHiddenSize() == config.hiddenSize()
            && hosted.getNumExperts() == config.numExperts();
    if (!fits) {
      log.error(
          "replica {} is not used for layer {}: it has hidden_size {} and num_experts {}, the"
              + " router {} and {}",
          replica,
          hosted.getName(),
          hosted.getHiddenSize(),
          hosted.getNumExperts(),
          config.hiddenSize(),
          config.numExperts());
    }
    return fits;
  }

  private static String hosted(Replica replica) {
    return replica.layers().stream()
        .map(layer ->
            "%s experts %s"
                .formatted(
                    new LayerVersion(layer.getName(), layer.getDigest()), layer.getExpertsList()))
        .collect(joining("; "));
  }

  @Override
  public void close() {
    context.execute(() -> {
      closed = true;
      retarget(Set.of());
    });
  }
}
