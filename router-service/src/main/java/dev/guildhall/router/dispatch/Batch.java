package dev.guildhall.router.dispatch;

/**
 * Rows that go to one host in one message. Row numbers count through all batches of a {@link
 * DispatchPlan}. The arrays are shared, to be read only.
 *
 * @param host as {@link HostChoice} numbered it
 * @param experts [n] distinct experts whose rows follow one another, E standing for the residual
 *     MLP
 * @param rowCounts [n] rows of each, in token order
 * @param firstRow the first row's number
 * @param rows sum of the counts
 */
public record Batch(int host, int[] experts, int[] rowCounts, int firstRow, int rows) {}
