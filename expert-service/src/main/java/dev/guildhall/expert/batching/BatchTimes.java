package dev.guildhall.expert.batching;

/**
 * When a batch was worked on, on the pool's clock.
 *
 * @param begunNanos its first rows were taken
 * @param workedNanos its last rows were computed
 * @param workNanos what its own rows took in between, on all workers together
 */
public record BatchTimes(long begunNanos, long workedNanos, long workNanos) {}
