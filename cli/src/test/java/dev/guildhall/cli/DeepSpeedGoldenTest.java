package dev.guildhall.cli;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT_UNALIGNED;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;

import dev.guildhall.repository.LayerRepository;
import dev.guildhall.repository.MissingExperts;
import dev.guildhall.router.admission.Caller;
import dev.guildhall.router.forward.ForwardJob;
import dev.guildhall.router.forward.ForwardResult;
import dev.guildhall.router.gate.Jitter;
import dev.guildhall.router.gate.Routing;
import dev.guildhall.rpc.Buffers;
import dev.guildhall.rpc.Transport;
import dev.guildhall.safetensors.StoredTensor;
import dev.guildhall.tracing.RequestTrace;
import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import io.netty.buffer.ByteBuf;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Replays DeepSpeed's recorded runs with their own random draws: every .safetensors case of a
 * folder, the project's own or that of {@code -Dgolden.dir=DIR} (relative to the project's root).
 */
class DeepSpeedGoldenTest {
  private static final String LAYER = "layer";

  private static Transport transport;

  @TempDir private Path repository;

  @BeforeAll
  static void openTransport() {
    transport = new Transport(1, 64 << 20);
  }

  @AfterAll
  static void closeTransport() {
    transport.close();
  }

  @ParameterizedTest
  @MethodSource("cases")
  void routesAsDeepSpeedDid(String name) throws IOException {
    try (GoldenCase golden = GoldenCase.named(folder(), name);
        RouterRooms router = RouterRooms.open(layerOf(golden).layers().getFirst(), transport)) {
      ByteBuf input = hiddenStates(golden);
      try {
        assertRouting(golden, route(golden, router, Buffers.segment(input)));
      } finally {
        input.release();
      }
    }
  }

  @ParameterizedTest
  @MethodSource("cases")
  void answersAsDeepSpeedDidThroughRealExperts(String name) throws Exception {
    try (GoldenCase golden = GoldenCase.named(folder(), name)) {
      LayerRepository layers = layerOf(golden);
      int epSize = golden.experts() % 2 == 0 ? 2 : 1;
      try (ExpertFleet experts =
              ExpertFleet.start(
                  layers, ExpertFleet.ranks(epSize), transport, new SimpleMeterRegistry());
          RouterRooms router = RouterRooms.open(layers.layers().getFirst(), transport)) {
        router.connect(experts.targets());
        ForwardResult result = router.start(job(golden, router)).get(30, TimeUnit.SECONDS);
        try {
          assertRouting(golden, result.routing());
          assertClose(
              "output",
              golden.floats("out.output"),
              Buffers.segment(result.output()).toArray(JAVA_FLOAT_UNALIGNED));
        } finally {
          result.output().release();
        }
      }
    }
  }

  @Test
  void findsCases() throws IOException {
    assertFalse(cases().isEmpty(), "no case in " + folder());
    if (System.getProperty("golden.dir") == null) {
      assertEquals(56, cases().size());
    }
  }

  private static Routing route(GoldenCase golden, RouterRooms router, MemorySegment input) {
    if (Jitter.applies(router.layer().config(), golden.training())) {
      Jitter.apply(input, golden.tokens(), golden.hiddenSize(), golden.noise(), input);
    }
    return router
        .layer()
        .gate()
        .route(
            router.layer().projection().project(input, golden.tokens()).gate(),
            golden.tokens(),
            golden.training(),
            golden.usedTokens(),
            golden.noise());
  }

  private static ForwardJob job(GoldenCase golden, RouterRooms router) {
    return new ForwardJob(
        Caller.ANYONE,
        router.layer(),
        golden.tokens(),
        hiddenStates(golden),
        golden.training(),
        golden.usedTokens(),
        golden.noise(),
        MissingExperts.FAIL,
        System.nanoTime() + TimeUnit.SECONDS.toNanos(30),
        RequestTrace.NONE);
  }

  private static ByteBuf hiddenStates(GoldenCase golden) {
    StoredTensor tensor = golden.file().tensor("hidden_states");
    ByteBuf copy = Buffers.allocate(Math.toIntExact(tensor.data().byteSize()));
    Buffers.segment(copy).copyFrom(tensor.data());
    return copy;
  }

  private static void assertRouting(GoldenCase golden, Routing routing) {
    assertArrayEquals(golden.ints("out.route_expert"), routing.expert(), "experts");
    assertArrayEquals(golden.ints("out.route_slot"), routing.slot(), "slots");
    assertClose("weight", golden.floats("out.route_weight"), routing.weight());
    assertArrayEquals(golden.longs("out.exp_counts"), routing.expCounts(), "exp_counts");
    assertEquals(golden.longs("out.capacity")[0], routing.capacity(), "capacity");
    assertClose("l_aux", golden.floats("out.l_aux"), routing.lAux());
  }

  private static void assertClose(String what, float[] expected, float... actual) {
    assertEquals(expected.length, actual.length, what);
    for (int i = 0; i < expected.length; i++) {
      assertEquals(
          expected[i], actual[i], 1e-5 + 1e-4 * Math.abs(expected[i]), what + ", element " + i);
    }
  }

  private LayerRepository layerOf(GoldenCase golden) throws IOException {
    return golden.writeRepository(repository, LAYER);
  }

  private static Path folder() {
    Path home = Path.of(System.getProperty("guildhall.home", ".."));
    return home.resolve(System.getProperty("golden.dir", "common/src/test/resources/golden"));
  }

  static List<String> cases() throws IOException {
    return GoldenCase.names(folder());
  }
}
