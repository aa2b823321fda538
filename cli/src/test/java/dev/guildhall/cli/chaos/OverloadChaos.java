package dev.guildhall.cli.chaos;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.guildhall.proto.ForwardRequest;
import io.grpc.Status;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * Three times as many requests as can be served, from clients that do not wait for answers and give
 * each request 2 s.
 */
@Tag("chaos")
class OverloadChaos {
  private static final int PEAK_IN_FLIGHT = 16;
  private static final double TIMES_PEAK = 3;
  private static final double LEAST_GOODPUT = 0.8;
  private static final double MOST_GROWTH = 1.1;

  @TempDir private Path folder;

  @Test
  void overloadIsRefusedAndTheRestServed() throws Exception {
    ForwardRequest request =
        Question.request(ChaosRepository.HEAVY, 16, ChaosRepository.HEAVY_HIDDEN_SIZE);
    try (Processors processors = Processors.forServers();
        Fleet fleet = new Fleet(folder)) {
      ChaosRepository.writeHeavy(fleet.repository());
      Node expert = fleet.replicas(1).getFirst();
      Node router = fleet.router(List.of(expert.target()));
      processors.forClients();
      Offer.Outcome warmUp =
          Offer.closed(router.target(), request, PEAK_IN_FLIGHT, Durations.OVERLOAD_WARM_UP);
      Offer.open(
          router.target(), request, TIMES_PEAK * warmUp.perSecond(), Durations.OVERLOAD_WARM_UP);
      Offer.Outcome peak = Offer.closed(router.target(), request, PEAK_IN_FLIGHT, Durations.PEAK);
      assertEquals(0, peak.count(Status.Code.RESOURCE_EXHAUSTED), "the peak itself is refused");
      try (RssWatch routerRss = new RssWatch(router);
          RssWatch expertRss = new RssWatch(expert)) {
        Offer.Outcome over =
            Offer.open(router.target(), request, TIMES_PEAK * peak.perSecond(), Durations.OVERLOAD);
        double goodput = over.perSecond() / peak.perSecond();
        Report report =
            new Report("overload")
                .with("peak_per_second", peak.perSecond())
                .with("peak_p99_ms", peak.millis(Status.Code.OK, 99))
                .with("offered_per_second", over.offered() / over.seconds())
                .with("goodput_of_peak", goodput)
                .with("ok", over.count(Status.Code.OK))
                .with("ok_p99_ms", over.millis(Status.Code.OK, 99))
                .with("refused", over.count(Status.Code.RESOURCE_EXHAUSTED))
                .with("refused_p99_ms", over.millis(Status.Code.RESOURCE_EXHAUSTED, 99))
                .with("late", over.count(Status.Code.DEADLINE_EXCEEDED))
                .with("ends", over.nanos().keySet())
                .with(
                    "router_rss_mib",
                    List.of(routerRss.firstHalf() >> 20, routerRss.secondHalf() >> 20))
                .with(
                    "expert_rss_mib",
                    List.of(expertRss.firstHalf() >> 20, expertRss.secondHalf() >> 20));
        report.publish();
        assertTrue(goodput >= LEAST_GOODPUT, "goodput is %s of the peak".formatted(goodput));
        assertFlat("router", routerRss);
        assertFlat("expert service", expertRss);
        assertTrue(
            List.of(Status.Code.OK, Status.Code.RESOURCE_EXHAUSTED, Status.Code.DEADLINE_EXCEEDED)
                .containsAll(over.nanos().keySet()),
            "ends: " + over.nanos().keySet());
      }
    }
  }

  private static void assertFlat(String who, RssWatch rss) {
    assertTrue(
        rss.secondHalf() <= MOST_GROWTH * rss.firstHalf(),
        "%s: %d bytes, then %d".formatted(who, rss.firstHalf(), rss.secondHalf()));
  }
}
