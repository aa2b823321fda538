package dev.guildhall.router.api.oip;

import dev.guildhall.admin.LayerChanges;
import dev.guildhall.error.ErrorCode;
import dev.guildhall.error.GuildhallException;
import dev.guildhall.repository.LayerConfig;
import dev.guildhall.repository.LayerVersion;
import dev.guildhall.repository.LiveRepository;
import dev.guildhall.router.forward.ForwardStatistics;
import dev.guildhall.router.forward.ServedLayer;
import dev.guildhall.router.forward.ServedLayers;
import dev.guildhall.router.replicas.LayerHosts;
import dev.guildhall.router.replicas.RoutingTable;
import dev.guildhall.tensor.DType;
import java.net.InetSocketAddress;
import java.net.SocketAddress;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.concurrent.CompletableFuture;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/**
 * A router's layers as the protocol's models. A model's version is its layer's digest. Thread-safe;
 * nothing blocks.
 */
public final class Models {
  /** Of a layer. */
  public static final String PLATFORM = "guildhall_moe";

  /** As many of a digest's digits as messages show. */
  private static final int LEAST_DIGITS = 12;

  private final ServedLayers layers;
  private final Supplier<RoutingTable> routes;
  private final LiveRepository<ServedLayer> repository;
  private final ForwardStatistics statistics;
  private volatile @Nullable LayerChanges changes;
  private volatile boolean remoteChanges;
  private volatile boolean stopping;

  public Models(
      ServedLayers layers,
      Supplier<RoutingTable> routes,
      LiveRepository<ServedLayer> repository,
      ForwardStatistics statistics) {
    this.layers = layers;
    this.routes = routes;
    this.repository = repository;
    this.statistics = statistics;
  }

  /**
   * A layer and what is known of it.
   *
   * @param reason why it is not ready; empty if it is
   */
  public record Model(ServedLayer layer, String reason) {
    public String name() {
      return layer.name();
    }

    public String version() {
      return layer.version().digest();
    }

    public boolean ready() {
      return reason.isEmpty();
    }

    /** hidden_states may have any datatype of FP32, FP16 and BF16, and more leading dimensions. */
    public List<TensorSpec> inputs() {
      return List.of(
          new TensorSpec(TensorSpec.HIDDEN_STATES, DType.FP32, hiddenStates()),
          new TensorSpec(TensorSpec.USED_TOKEN, DType.BOOL, List.of(-1L)));
    }

    public List<TensorSpec> outputs() {
      return List.of(
          new TensorSpec(TensorSpec.OUTPUT, DType.FP32, hiddenStates()),
          new TensorSpec(TensorSpec.L_AUX, DType.FP32, List.of(1L)),
          new TensorSpec(
              TensorSpec.EXP_COUNTS, DType.INT64, List.of((long) layer.config().numExperts())));
    }

    private List<Long> hiddenStates() {
      return List.of(-1L, (long) layer.config().hiddenSize());
    }
  }

  /**
   * A layer of the repository.
   *
   * @param version empty if it is not served
   * @param reason why it is not ready; empty if it is
   */
  public record Entry(String name, String version, String reason) {
    public String state() {
      return reason.isEmpty() ? "READY" : "UNAVAILABLE";
    }
  }

  /** Whether every layer is ready, and the router stays. */
  public boolean ready() {
    Collection<ServedLayer> all = layers.all();
    return !stopping && all.stream().allMatch(layer -> model(layer).ready());
  }

  /** Nothing is ready from now on. */
  public void stop() {
    stopping = true;
  }

  /**
   * The layer of a request, its use acquired.
   *
   * @param version empty: whichever is served
   * @throws GuildhallException NOT_FOUND if there is none of this name or version
   */
  ServedLayer acquire(String name, String version) {
    ServedLayer layer = layers.acquire(name);
    try {
      checkVersion(layer.version(), version);
    } catch (RuntimeException e) {
      layer.uses().release();
      throw e;
    }
    return layer;
  }

  /**
   * What is known of a layer.
   *
   * @throws GuildhallException NOT_FOUND if there is none of this name or version
   */
  public Model model(String name, String version) {
    ServedLayer layer = layers.layer(name);
    checkVersion(layer.version(), version);
    return model(layer);
  }

  /** The same; none if there is none. */
  Optional<Model> find(String name, String version) {
    try {
      return Optional.of(model(name, version));
    } catch (GuildhallException e) {
      return Optional.empty();
    }
  }

  /** All layers that are served. */
  public List<Model> all() {
    return layers.all().stream().map(this::model).toList();
  }

  private Model model(ServedLayer layer) {
    LayerConfig config = layer.config();
    LayerHosts hosts =
        routes.get().find(layer.version()).orElse(LayerHosts.none(layer.name(), config));
    return new Model(
        layer,
        hosts.serves(config.missingExperts())
            ? ""
            : String.valueOf(hosts.unavailable().getMessage()));
  }

  private static void checkVersion(LayerVersion served, String asked) {
    if (!asked.isEmpty()
        && (asked.length() < Math.min(LEAST_DIGITS, served.digest().length())
            || !served.digest().startsWith(asked))) {
      throw new GuildhallException(
          ErrorCode.NOT_FOUND,
          "layer %s has no version \"%s\"; served is %s, which 12 digits or more may name"
              .formatted(served.name(), asked, served.digest()));
    }
  }

  /** What has become of a layer's requests. */
  public ForwardStatistics.Totals statistics(Model model) {
    return statistics.of(model.name());
  }

  /**
   * The layers of the repository.
   *
   * @param readyOnly leaves out those that are not served, or not ready
   */
  public CompletableFuture<List<Entry>> index(boolean readyOnly) {
    return repository
        .names()
        .thenApply(names -> {
          Map<String, Entry> entries = new TreeMap<>();
          names.forEach(name -> entries.put(name, new Entry(name, "", "it is not loaded")));
          for (Model model : all()) {
            entries.put(model.name(), new Entry(model.name(), model.version(), model.reason()));
          }
          return entries.values().stream()
              .filter(entry -> !readyOnly || entry.reason().isEmpty())
              .toList();
        });
  }

  /**
   * Lets callers change the layers.
   *
   * @param fromAnywhere callers of other machines too
   */
  public void allowChanges(LayerChanges allowed, boolean fromAnywhere) {
    remoteChanges = fromAnywhere;
    changes = allowed;
  }

  /**
   * What changes the layers.
   *
   * @param peer who asks
   * @throws GuildhallException FAILED_PRECONDITION unless the peer may
   */
  public LayerChanges changes(Optional<SocketAddress> peer) {
    LayerChanges allowed = changes;
    if (allowed == null) {
      throw new GuildhallException(
          ErrorCode.FAILED_PRECONDITION,
          "layers cannot be changed here; allowed is \"guildhall layers load\" at the admin port,"
              + " or a router started with --admin-port and --oip-admin");
    }
    if (!remoteChanges && !peer.map(Models::isLoopback).orElse(false)) {
      throw new GuildhallException(
          ErrorCode.FAILED_PRECONDITION,
          "layers can be changed from the router's own machine only; allowed elsewhere with"
              + " --tls-client-ca");
    }
    return allowed;
  }

  private static boolean isLoopback(SocketAddress peer) {
    return peer instanceof InetSocketAddress address && address.getAddress().isLoopbackAddress();
  }
}
