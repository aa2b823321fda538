package dev.guildhall.router.replicas;

import dev.guildhall.proto.DescribeResponse;
import dev.guildhall.proto.HostedLayer;
import dev.guildhall.router.exchange.ExchangeStream;
import java.util.List;

/** A connected expert-service process; two are equal only if they are the same connection. */
public final class Replica {
  private final String target;
  private final DescribeResponse description;
  private final ExchangeStream stream;

  Replica(String target, DescribeResponse description, ExchangeStream stream) {
    this.target = target;
    this.description = description;
    this.stream = stream;
  }

  /** Where it is, and its name in messages. */
  public String target() {
    return target;
  }

  /** Where its experts run: "cpu" or "cuda:0". */
  public String device() {
    return description.getDevice();
  }

  /** What it hosts, in its own words. */
  public List<HostedLayer> layers() {
    return description.getLayersList();
  }

  /** Takes its batches. */
  public ExchangeStream stream() {
    return stream;
  }

  @Override
  public String toString() {
    return target;
  }
}
