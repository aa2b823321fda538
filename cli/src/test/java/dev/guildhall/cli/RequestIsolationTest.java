package dev.guildhall.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.guildhall.proto.ForwardRequest;
import dev.guildhall.proto.ForwardResponse;
import dev.guildhall.repository.LayerRepository;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * A request's routes and output do not depend on the requests served beside it: capacity is per
 * request, and merging happens after the gate. Values may differ by the rounding of a matrix
 * product at another number of rows; on the processors tried so far they are equal to the bit.
 */
class RequestIsolationTest {
  private static final String LAYER = "layer";
  private static final int HIDDEN = 32;
  private static final int NEIGHBOURS = 4;
  private static final int REPETITIONS = 60;

  @TempDir private Path folder;

  @Test
  void neighboursChangeNeitherRoutesNorOutput() throws Exception {
    LayerFiles.mlp(
        folder,
        LAYER,
        """
        {"hidden_size": 32, "num_experts": 4, "k": 2, "eval_capacity_factor": 0.7,
         "min_capacity": 2}
        """);
    AtomicBoolean stop = new AtomicBoolean();
    AtomicLong served = new AtomicLong();
    List<Future<?>> neighbours = new ArrayList<>();
    try (ServedSystem system = ServedSystem.start(LayerRepository.open(folder));
        ExecutorService threads = Executors.newFixedThreadPool(NEIGHBOURS)) {
      List<ForwardRequest> requests =
          List.of(request(1, 1), request(7, 2), request(40, 3), request(200, 4));
      List<ForwardResponse> alone = requests.stream().map(system.client()::forward).toList();
      assertTrue(alone.getLast().getDroppedRoutes() > 0);
      for (int neighbour = 0; neighbour < NEIGHBOURS; neighbour++) {
        int seed = 100 * neighbour;
        neighbours.add(
            threads.submit(() -> {
              for (int i = 0; !stop.get(); i++) {
                system.client().forward(request(1 + i % 90, seed + i));
                served.incrementAndGet();
              }
            }));
      }
      try {
        Await.until("the neighbours are at work", () -> served.get() > NEIGHBOURS);
        for (int i = 0; i < REPETITIONS; i++) {
          ForwardResponse crowded = system.client().forward(requests.get(i % 4));
          assertSameAnswer(alone.get(i % 4), crowded);
        }
      } finally {
        stop.set(true);
      }
      for (Future<?> neighbour : neighbours) {
        neighbour.get(30, TimeUnit.SECONDS);
      }
    }
  }

  private static void assertSameAnswer(ForwardResponse alone, ForwardResponse crowded) {
    assertEquals(
        alone.toBuilder().clearOutput().build(), crowded.toBuilder().clearOutput().build());
    Tensors.assertClose(
        Tensors.floats(alone.getOutput()), Tensors.floats(crowded.getOutput()), 1e-5);
  }

  private static ForwardRequest request(int tokens, long seed) {
    return Requests.random(LAYER, tokens, HIDDEN, seed).setSeed(seed).setReturnRoutes(true).build();
  }
}
