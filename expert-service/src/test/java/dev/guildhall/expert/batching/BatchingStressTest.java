package dev.guildhall.expert.batching;

import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.guildhall.error.ErrorCode;
import dev.guildhall.error.GuildhallException;
import dev.guildhall.expert.runtime.OnnxExpert;
import dev.guildhall.onnx.Device;
import dev.guildhall.onnx.ExpertReference;
import dev.guildhall.repository.Activation;
import dev.guildhall.repository.Precision;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Random batches from several threads at once. */
class BatchingStressTest {

  @ParameterizedTest(name = "seed {0}")
  @ValueSource(longs = {1, 2, 3, 4, 5, 6, 7, 8})
  void endsEveryBatchOnceWithTheRightRows(long seed) throws Exception {
    SplittableRandom random = new SplittableRandom(seed);
    AtomicInteger computed = new AtomicInteger();
    try (ComputePool pool =
        ComputePool.builder()
            .workers(random.nextInt(1, 5))
            .blockRows(1, random.nextInt(2, 20))
            .maxQueuedRows(100_000)
            .listener(block -> computed.addAndGet(block.rows()))
            .start()) {
      List<ExpertQueue> experts = new ArrayList<>();
      for (int expert = 0; expert < 5; expert++) {
        experts.add(pool.host(new ExpertKey("moe", expert), SteppedExpert.free(expert)));
      }
      List<Thread> senders = new ArrayList<>();
      List<List<SentBatch>> sent = new ArrayList<>();
      for (int sender = 0; sender < 3; sender++) {
        SplittableRandom own = random.split();
        List<SentBatch> batches = new ArrayList<>();
        sent.add(batches);
        senders.add(Thread.ofPlatform().start(() -> send(pool, experts, own, batches)));
      }
      int succeededRows = 0;
      for (int sender = 0; sender < 3; sender++) {
        senders.get(sender).join();
        assertEquals(200, sent.get(sender).size());
        for (SentBatch batch : sent.get(sender)) {
          succeededRows += check(batch);
        }
      }
      assertEquals(0, pool.queuedRows());
      assertEquals(true, computed.get() >= succeededRows);
    }
  }

  private static void send(
      ComputePool pool, List<ExpertQueue> experts, SplittableRandom random, List<SentBatch> sent) {
    for (int i = 0; i < 200; i++) {
      List<RowBatch.Segment> segments = new ArrayList<>();
      for (ExpertQueue expert : experts) {
        if (random.nextInt(3) > 0) {
          segments.add(new RowBatch.Segment(expert, random.nextInt(1, 30)));
        }
      }
      long deadline =
          random.nextInt(10) == 0
              ? System.nanoTime() + random.nextInt(1_000_000)
              : RowBatch.NO_DEADLINE;
      SentBatch batch = new SentBatch(deadline, segments);
      sent.add(batch);
      try {
        batch.to(pool);
      } catch (GuildhallException e) {
        // It would have been late.
        assertEquals(ErrorCode.RESOURCE_EXHAUSTED, e.code());
        batch.failed(e);
      }
      if (random.nextInt(10) == 0) {
        batch.batch().cancel();
      }
    }
  }

  /** Gives the rows that were computed for the batch's sender. */
  private static int check(SentBatch sent) throws InterruptedException {
    boolean succeeded = sent.awaitEnd();
    assertEquals(1, sent.calls());
    if (!succeeded) {
      return 0;
    }
    List<RowBatch.Segment> segments = sent.batch().segments();
    float[] offsets = new float[segments.size()];
    for (int i = 0; i < offsets.length; i++) {
      offsets[i] = segments.get(i).expert().key().expert();
    }
    sent.awaitRows(offsets);
    return sent.batch().rows();
  }

  @ParameterizedTest(name = "seed {0}")
  @ValueSource(longs = {1, 2, 3})
  void givesARealExpertsRowsTheSameBitsHoweverTheyAreMergedAndCut(long seed) throws Exception {
    int hidden = 32;
    int rows = 400;
    SplittableRandom random = new SplittableRandom(seed);
    try (Arena arena = Arena.ofShared();
        OnnxExpert expert =
            OnnxExpert.of(
                ExpertReference.mlp(arena, hidden, 64, Activation.GELU, true, seed),
                Precision.FP32,
                Device.CPU);
        ComputePool pool = ComputePool.builder().workers(2).blockRows(1, 24).start()) {
      ExpertQueue queue = pool.host(new ExpertKey("moe", 0), expert);
      MemorySegment in = ExpertReference.floats(arena, (long) rows * hidden, 2, random);
      MemorySegment expected = arena.allocate(in.byteSize(), 4);
      MemorySegment out = arena.allocate(in.byteSize(), 4);
      expert.run(in, rows, expected);
      List<CountDownLatch> ends = new ArrayList<>();
      for (int row = 0; row < rows; ) {
        int count = Math.min(rows - row, random.nextInt(1, 40));
        long offset = (long) row * hidden * Float.BYTES;
        long size = (long) count * hidden * Float.BYTES;
        CountDownLatch end = new CountDownLatch(1);
        ends.add(end);
        pool.submit(
            new RowBatch(
                List.of(new RowBatch.Segment(queue, count)),
                in.asSlice(offset, size),
                out.asSlice(offset, size),
                RowBatch.NO_DEADLINE,
                countingDown(end)));
        row += count;
      }
      for (CountDownLatch end : ends) {
        assertEquals(true, end.await(10, TimeUnit.SECONDS));
      }
      assertEquals(-1, expected.mismatch(out));
    }
  }

  private static BatchCompletion countingDown(CountDownLatch end) {
    return new BatchCompletion() {
      @Override
      public void succeeded() {
        end.countDown();
      }

      @Override
      public void failed(GuildhallException failure) {
        assertEquals(ErrorCode.INTERNAL, failure.code());
      }
    };
  }
}
