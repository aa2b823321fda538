package dev.guildhall.router.replicas;

import static java.util.stream.Collectors.joining;

import dev.guildhall.proto.HostedLayer;
import dev.guildhall.repository.LayerConfig;
import io.grpc.ManagedChannel;
import io.grpc.SynchronizationContext;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
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

  private final Map<String, LayerConfig> layers;
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

  private final List<Consumer<RoutingTable>> listeners = new ArrayList<>();

  private volatile RoutingTable table;

  /**
   * @param layers the layers to route for, by name
   * @param channels opens a channel to a target
   * @param timer runs reconnection
   * @param outliers hears of connections that break
   */
  public ReplicaDirectory(
      Map<String, LayerConfig> layers,
      Function<String, ManagedChannel> channels,
      ScheduledExecutorService timer,
      Outliers outliers) {
    this.layers = Map.copyOf(layers);
    this.channels = channels;
    this.timer = timer;
    this.outliers = outliers;
    this.table = tableOf(0, List.of());
  }

  public RoutingTable table() {
    return table;
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
              public void lost(Replica replica) {
                connected.remove(target, replica);
                if (!closed) {
                  log.warn("replica {} lost", replica);
                  publish();
                }
              }
            });
    connections.put(target, connection);
    connection.connect();
  }

  private void publish() {
    table = tableOf(table.version() + 1, connected.values());
    for (LayerHosts hosts : table.incomplete()) {
      log.warn("not ready: {}", hosts.unavailable().getMessage());
    }
    listeners.forEach(listener -> listener.accept(table));
  }

  private RoutingTable tableOf(long version, Iterable<Replica> replicas) {
    Map<String, LayerHosts> hosts = new LinkedHashMap<>();
    layers.forEach((name, config) -> hosts.put(name, hostsOf(name, config, replicas)));
    return new RoutingTable(version, hosts);
  }

  private static LayerHosts hostsOf(String layer, LayerConfig config, Iterable<Replica> replicas) {
    List<List<Replica>> byExpert = new ArrayList<>();
    for (int expert = 0; expert < config.hostedExperts(); expert++) {
      byExpert.add(new ArrayList<>());
    }
    for (Replica replica : replicas) {
      for (HostedLayer hosted : replica.layers()) {
        if (hosted.getName().equals(layer) && fits(hosted, config, replica)) {
          hosted.getExpertsList().stream()
              .filter(expert -> expert >= 0 && expert < byExpert.size())
              .distinct()
              .forEach(expert -> byExpert.get(expert).add(replica));
        }
      }
    }
    return new LayerHosts(layer, byExpert);
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
        .map(layer -> layer.getName() + " experts " + layer.getExpertsList())
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
