package dev.guildhall.router.exchange;

/**
 * Where a batch's time at its replica went, as the replica says.
 *
 * @param queueNanos it waited for others
 * @param workNanos its own rows took, on all workers together
 */
public record ReplicaTimes(long queueNanos, long workNanos) {}
