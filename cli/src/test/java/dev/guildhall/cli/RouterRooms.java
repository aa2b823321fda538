package dev.guildhall.cli;

import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.guildhall.metrics.Exemplars;
import dev.guildhall.repository.Layer;
import dev.guildhall.repository.LayerVersion;
import dev.guildhall.repository.LayerWeights;
import dev.guildhall.repository.Uses;
import dev.guildhall.router.forward.ExchangeSettings;
import dev.guildhall.router.forward.ForwardJob;
import dev.guildhall.router.forward.ForwardListener;
import dev.guildhall.router.forward.ForwardMetrics;
import dev.guildhall.router.forward.ForwardResult;
import dev.guildhall.router.forward.ForwardWatch;
import dev.guildhall.router.forward.LayerForward;
import dev.guildhall.router.forward.ServedLayer;
import dev.guildhall.router.gate.Gate;
import dev.guildhall.router.projection.Projection;
import dev.guildhall.router.replicas.Failover;
import dev.guildhall.router.replicas.Outliers;
import dev.guildhall.router.replicas.ReplicaDirectory;
import dev.guildhall.router.replicas.RetryBudget;
import dev.guildhall.rpc.Transport;
import dev.guildhall.tensor.DType;
import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import java.util.HashSet;
import java.util.List;
import java.util.concurrent.CompletableFuture;

/**
 * A router's rooms for one layer without the API before them, put together as a router does, so
 * that a test can bring its own random draws.
 */
final class RouterRooms implements AutoCloseable {
  private final LayerWeights weights;
  private final ServedLayer layer;
  private final ReplicaDirectory directory;
  private final LayerForward forward;

  private RouterRooms(LayerWeights weights, Layer onDisk, Transport transport) {
    this.weights = weights;
    Projection projection = new Projection(weights.projection());
    this.layer =
        new ServedLayer(
            LayerVersion.of(onDisk),
            onDisk.proto(),
            onDisk.config(),
            projection,
            new Gate(onDisk.config(), weights.scoreCorrectionBias()),
            new Uses(projection::close));
    SimpleMeterRegistry registry = new SimpleMeterRegistry();
    Outliers outliers = new Outliers(registry);
    this.directory = new ReplicaDirectory(transport::channel, transport.timer(), outliers);
    directory.route(layer.version(), layer.config());
    this.forward =
        new LayerForward(
            directory::table,
            1 << 20,
            new ExchangeSettings(1 << 20, DType.FP32),
            new Failover(
                directory::table, new RetryBudget(0.2, 10), outliers, transport.timer(), registry),
            transport.timer(),
            Runnable::run,
            ForwardWatch.of(new ForwardMetrics(registry, new Exemplars())));
  }

  /** Opens a layer's weights; no replica is looked for. */
  static RouterRooms open(Layer layer, Transport transport) {
    return new RouterRooms(LayerWeights.open(layer), layer, transport);
  }

  ServedLayer layer() {
    return layer;
  }

  /** Connects, and waits until every expert has a host. */
  void connect(List<String> targets) {
    directory.targets(new HashSet<>(targets));
    Await.until(
        "every expert has a host", () -> directory.table().layer(layer.version()).complete());
  }

  CompletableFuture<ForwardResult> start(ForwardJob job) {
    CompletableFuture<ForwardResult> answer = new CompletableFuture<>();
    assertTrue(layer.uses().acquire());
    forward.start(
        job,
        new ForwardListener() {
          @Override
          public void succeeded(ForwardResult result) {
            answer.complete(result);
          }

          @Override
          public void failed(Throwable failure) {
            answer.completeExceptionally(failure);
          }
        });
    return answer;
  }

  @Override
  public void close() {
    directory.close();
    layer.close();
    weights.close();
  }
}
