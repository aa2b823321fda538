package dev.guildhall.expert.batching;

/** A compute thread's duty: take a block, run it; until the queue is closed. */
final class Worker implements Runnable {
  private final WorkQueue queue;
  private final BlockRunner runner;
  private final Block block = new Block();

  Worker(WorkQueue queue, BlockRunner runner) {
    this.queue = queue;
    this.runner = runner;
  }

  @Override
  public void run() {
    try (Scratch scratch = new Scratch()) {
      while (queue.take(block)) {
        runner.run(block, scratch);
      }
    }
  }
}
