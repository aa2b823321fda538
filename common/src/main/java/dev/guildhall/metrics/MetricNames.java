package dev.guildhall.metrics;

/** Every metric of ours by its Micrometer name; Prometheus shows dots as underscores. */
public final class MetricNames {
  /** Router, counter, by layer (empty if it was not run) and status: requests answered. */
  public static final String REQUESTS = "guildhall.requests";

  /**
   * Router, timer, by layer: a request from when it is read until its answer is ready to be
   * written.
   */
  public static final String REQUEST_DURATION = "guildhall.request.duration";

  /** Router, counter, by layer: tokens of answered requests. */
  public static final String TOKENS = "guildhall.tokens";

  /** Router, counter, by layer and expert: routes chosen by the gate. */
  public static final String ROUTES = "guildhall.routes";

  /**
   * Router, counter, by layer: routes that the experts had room for, their number times the
   * capacity. What was kept of {@link #ROUTES} by this is the use of the capacity.
   */
  public static final String CAPACITY_SLOTS = "guildhall.capacity.slots";

  /** Router, counter, by layer: routes dropped by capacity. */
  public static final String DROPPED_ROUTES = "guildhall.routes.dropped";

  /** Router, counter, by layer: routes dropped because nobody hosted their expert. */
  public static final String LOST_ROUTES = "guildhall.routes.lost";

  /** Router, timer, by layer: from the first batch sent to the last one received. */
  public static final String FAN_OUT_DURATION = "guildhall.fanout.duration";

  /** Router, counter, by layer and status: batches sent again after a replica failed them so. */
  public static final String BATCH_RETRIES = "guildhall.batch.retries";

  /** Router, counter, by layer: batches sent to a second replica because they took long. */
  public static final String BATCH_HEDGES = "guildhall.batch.hedges";

  /** Router, counter, by replica and reason ("failures", "latency"): replicas ejected. */
  public static final String REPLICA_EJECTIONS = "guildhall.replica.ejections";

  /** Router, gauge: tokens in flight. */
  public static final String TOKENS_IN_FLIGHT = "guildhall.tokens.in.flight";

  /** Router, gauge: tokens that may be in flight, by how long the experts' queues are. */
  public static final String TOKENS_ALLOWED = "guildhall.tokens.allowed";

  /** Router, gauge: replicas connected. */
  public static final String REPLICAS = "guildhall.replicas";

  /** Router, gauge, by layer: experts without a host. */
  public static final String EXPERTS_WITHOUT_HOST = "guildhall.experts.without.host";

  /** Expert service, counter, by layer and expert: rows computed. */
  public static final String EXPERT_ROWS = "guildhall.expert.rows";

  /** Expert service, timer, by layer and expert: computing a block of rows. */
  public static final String EXPERT_COMPUTE_DURATION = "guildhall.expert.compute.duration";

  /** Expert service, timer, by layer: the longest wait among a block's rows. */
  public static final String EXPERT_QUEUE_DURATION = "guildhall.expert.queue.duration";

  /** Expert service, summary, by layer: rows in a block. */
  public static final String EXPERT_BLOCK_ROWS = "guildhall.expert.block.rows";

  /** Expert service, gauge: rows that wait for a worker. */
  public static final String EXPERT_QUEUED_ROWS = "guildhall.expert.queued.rows";

  /** Expert service, gauge: bytes of the rows that wait, and of the room for their results. */
  public static final String EXPERT_QUEUED_BYTES = "guildhall.expert.queued.bytes";

  /** Every process, counter: heap bytes that its threads have allocated. */
  public static final String ALLOCATED_BYTES = "guildhall.jvm.allocated.bytes";

  private MetricNames() {}
}
