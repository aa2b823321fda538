package dev.guildhall.router.replicas;

import dev.guildhall.proto.DescribeResponse;
import dev.guildhall.proto.HostedLayer;
import dev.guildhall.repository.LayerVersion;
import dev.guildhall.router.exchange.ExchangeStream;
import java.util.List;

/** A connected expert-service process; two are equal only if they are the same connection. */
public final class Replica {
  private volatile DescribeResponse description;
  private final ExchangeStream stream;
  private final TrackRecord record;

  Replica(DescribeResponse description, ExchangeStream stream, TrackRecord record) {
    this.description = description;
    this.stream = stream;
    this.record = record;
  }

  /** Where it is, and its name in messages. */
  public String target() {
    return record.target();
  }

  /** Where its experts run: "cpu" or "cuda:0". */
  public String device() {
    return description.getDevice();
  }

  /** What it hosts now, in its own words. */
  public List<HostedLayer> layers() {
    return description.getLayersList();
  }

  /** Takes its batches. */
  public ExchangeStream stream() {
    return stream;
  }

  void describe(DescribeResponse news) {
    description = news;
  }

  TrackRecord record() {
    return record;
  }

  /** Whether it is picked only where nobody else will do: ejected, or silent. */
  boolean isAvoided() {
    return stream.silent() || record.ejected(System.nanoTime());
  }

  /** How it does now. */
  ReplicaStatus status() {
    ReplicaStatus.Health health =
        record.ejected(System.nanoTime())
            ? ReplicaStatus.Health.EJECTED
            : stream.silent() ? ReplicaStatus.Health.SILENT : ReplicaStatus.Health.SERVING;
    return new ReplicaStatus(
        target(),
        health,
        device(),
        stream.outstandingRows(),
        layers().stream()
            .map(layer ->
                new ReplicaStatus.Hosting(
                    new LayerVersion(layer.getName(), layer.getDigest()),
                    layer.getExpertsList(),
                    record.meanNanos(layer.getName())))
            .toList());
  }

  @Override
  public String toString() {
    return target();
  }
}
