package dev.guildhall.router.replicas;

import dev.guildhall.repository.LayerVersion;
import java.util.List;

/**
 * How a replica does at one moment, for people to look at.
 *
 * @param device where its experts run; empty if it is not connected, as all below
 * @param outstandingRows sent to it and not answered yet
 */
public record ReplicaStatus(
    String target, Health health, String device, long outstandingRows, List<Hosting> hosting) {

  /** What a router thinks of a replica. */
  public enum Health {
    SERVING,
    /** Failed or lagged again and again; gets what nobody else could do. */
    EJECTED,
    /** Owes an answer; gets what nobody else could do. */
    SILENT,
    /** Not connected, or not healthy by its own word. */
    UNREACHABLE
  }

  /**
   * A version of a layer that it hosts some experts of.
   *
   * @param meanNanos that its batches of the layer take, by a decaying mean; 0: there was none
   */
  public record Hosting(LayerVersion version, List<Integer> experts, double meanNanos) {
    public Hosting {
      experts = List.copyOf(experts);
    }
  }

  public ReplicaStatus {
    hosting = List.copyOf(hosting);
  }

  static ReplicaStatus unreachable(String target) {
    return new ReplicaStatus(target, Health.UNREACHABLE, "", 0, List.of());
  }
}
