package dev.guildhall.router.forward;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ch.qos.logback.classic.Logger;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.core.read.ListAppender;
import dev.guildhall.error.ErrorCode;
import dev.guildhall.error.GuildhallException;
import dev.guildhall.proto.MlpExpert;
import dev.guildhall.proto.MoeLayerConfig;
import dev.guildhall.repository.LayerConfig;
import dev.guildhall.repository.LayerVersion;
import dev.guildhall.repository.Linear;
import dev.guildhall.repository.MissingExperts;
import dev.guildhall.repository.ProjectionWeights;
import dev.guildhall.repository.Uses;
import dev.guildhall.router.admission.Caller;
import dev.guildhall.router.gate.Gate;
import dev.guildhall.router.gate.SeededNoise;
import dev.guildhall.router.gate.UsedTokens;
import dev.guildhall.router.projection.Projection;
import dev.guildhall.router.replicas.Failover;
import dev.guildhall.router.replicas.LayerHosts;
import dev.guildhall.router.replicas.Outliers;
import dev.guildhall.router.replicas.RetryBudget;
import dev.guildhall.router.replicas.RoutingTable;
import dev.guildhall.rpc.Buffers;
import dev.guildhall.safetensors.StoredTensor;
import dev.guildhall.tensor.DType;
import dev.guildhall.tracing.RequestTrace;
import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import io.netty.buffer.ByteBuf;
import java.lang.foreign.Arena;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Queue;
import java.util.concurrent.Executor;
import java.util.concurrent.Executors;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.slf4j.LoggerFactory;

class ForwardCallTest {
  private static final int HIDDEN = 4;
  private static final LayerHosts NO_HOSTS = new LayerHosts("layer", List.of(List.of(), List.of()));

  private final Arena arena = Arena.ofShared();
  private final ScheduledExecutorService timer = Executors.newSingleThreadScheduledExecutor();
  private final ServedLayer layer = layer();
  private final ByteBuf hiddenStates = Buffers.allocate(HIDDEN * Float.BYTES);
  private final List<Throwable> failures = new ArrayList<>();

  @AfterEach
  void close() {
    layer.close();
    arena.close();
    timer.shutdownNow();
  }

  @Test
  void doesNothingMoreWhenItEndedWhileItWaitedForAWorker() {
    Queue<Runnable> workers = new ArrayDeque<>();
    GuildhallException late = new GuildhallException(ErrorCode.DEADLINE_EXCEEDED, "late");
    ForwardCall call = call(workers::add);
    call.start();
    call.failed(late);
    assertEquals(0, hiddenStates.refCnt());

    workers.remove().run();
    assertEquals(1, failures.size());
    assertSame(late, failures.getFirst());
  }

  @Test
  void failsWhenTheWorkersAreGone() {
    call(
            step -> {
              throw new RejectedExecutionException("shut down");
            })
        .start();
    assertEquals(0, hiddenStates.refCnt());
    assertEquals("layer layer: the router is shutting down", failures.getFirst().getMessage());
  }

  @Test
  void failsAtOnceWhenAnExpertHasNoHost() {
    call(Runnable::run).start();
    assertEquals(0, hiddenStates.refCnt());
    assertEquals(
        "layer layer: no replica hosts expert 0, expert 1", failures.getFirst().getMessage());
  }

  @Test
  void logsOneSlowRequestASecondAndHowManyWereLeftOut() {
    AtomicLong clock = new AtomicLong();
    SlowRequests slow = SlowRequests.over(Duration.ofMillis(5), clock::get);
    ForwardCall call = call(Runnable::run);
    call.start();
    List<String> lines =
        logged(() -> {
          for (int millis : new int[] {5, 6, 7, 8}) {
            slow.ended(job(), TimeUnit.MILLISECONDS.toNanos(millis), null, call::timeSplit);
          }
          clock.addAndGet(TimeUnit.SECONDS.toNanos(1));
          slow.ended(job(), TimeUnit.MILLISECONDS.toNanos(9), failures.getFirst(), call::timeSplit);
        });
    assertEquals(2, lines.size(), lines::toString);
    assertTrue(
        lines
            .getFirst()
            .startsWith("slow request to layer layer, 1 tokens: answered after 6.0 ms: router"),
        lines::toString);
    assertTrue(lines.getLast().contains("UNAVAILABLE after 9.0 ms"), lines::toString);
    assertTrue(lines.getLast().endsWith("; 2 more were not logged"), lines::toString);
  }

  private static List<String> logged(Runnable action) {
    Logger logger = (Logger) LoggerFactory.getLogger(SlowRequests.class);
    ListAppender<ILoggingEvent> appender = new ListAppender<>();
    appender.start();
    logger.addAppender(appender);
    try {
      action.run();
    } finally {
      logger.detachAppender(appender);
    }
    return appender.list.stream().map(ILoggingEvent::getFormattedMessage).toList();
  }

  private ForwardJob job() {
    return new ForwardJob(
        Caller.ANYONE,
        layer,
        1,
        hiddenStates,
        false,
        UsedTokens.ALL,
        new SeededNoise(1),
        MissingExperts.FAIL,
        System.nanoTime() + TimeUnit.MINUTES.toNanos(1),
        RequestTrace.NONE);
  }

  private ForwardCall call(Executor executor) {
    hiddenStates.setZero(0, hiddenStates.capacity());
    return new ForwardCall(
        job(),
        NO_HOSTS,
        new ExchangeSettings(1 << 20, DType.FP32),
        new Failover(
            () -> new RoutingTable(0, Map.of(new LayerVersion("layer", ""), NO_HOSTS)),
            new RetryBudget(0, 0),
            new Outliers(new SimpleMeterRegistry()),
            timer,
            new SimpleMeterRegistry()),
        executor,
        new ForwardListener() {
          @Override
          public void succeeded(ForwardResult result) {
            throw new AssertionError("no expert could answer");
          }

          @Override
          public void failed(Throwable failure) {
            failures.add(failure);
          }
        });
  }

  private ServedLayer layer() {
    MoeLayerConfig proto =
        MoeLayerConfig.newBuilder()
            .setHiddenSize(HIDDEN)
            .setNumExperts(2)
            .setMlp(MlpExpert.newBuilder().setActivation("relu"))
            .build();
    LayerConfig config = LayerConfig.of(proto);
    return new ServedLayer(
        new LayerVersion("layer", ""),
        proto,
        config,
        new Projection(
            new ProjectionWeights(
                new Linear(
                    new StoredTensor(
                        DType.FP32,
                        List.of(2L, (long) HIDDEN),
                        arena.allocate(2L * HIDDEN * Float.BYTES)),
                    Optional.empty()),
                Optional.empty())),
        new Gate(config, new float[0]),
        new Uses(() -> {}));
  }
}
