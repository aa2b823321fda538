package dev.guildhall.cli;

import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.guildhall.proto.ForwardResponse;
import dev.guildhall.repository.LayerRepository;
import dev.guildhall.router.RouterOptions;
import dev.guildhall.router.RouterServer;
import dev.guildhall.router.forward.ExchangeSettings;
import dev.guildhall.rpc.Transport;
import dev.guildhall.tensor.DType;
import io.grpc.ManagedChannel;
import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * Rows that travel in 16 bits round, and by no more than docs/architecture.md says: outputs of the
 * digits layer reach 8.1.
 */
class WireDtypeTest {
  @ParameterizedTest
  @CsvSource({"FP32, 0, 1e-5", "FP16, 1e-4, 0.0025", "BF16, 1e-3, 0.025"})
  void roundsAsStated(DType wire, double least, double most) throws Exception {
    LayerRepository repository = Digits.repository();
    SimpleMeterRegistry registry = new SimpleMeterRegistry();
    try (Transport transport = new Transport(1, ServedSystem.MAX_MESSAGE_BYTES);
        ExpertFleet experts =
            ExpertFleet.start(repository, ExpertFleet.ranks(2), transport, registry);
        RouterServer router =
            RouterServer.start(
                options(experts, wire), repository, transport, transport::channel, registry)) {
      router.ready().get(30, TimeUnit.SECONDS);
      ManagedChannel channel = transport.channel("localhost:" + router.port());
      try {
        double difference = differenceFromDeepSpeed(SeparateProcessesTest.forwardHeldOut(channel));
        assertTrue(difference >= least && difference <= most, "difference is " + difference);
      } finally {
        channel.shutdownNow();
      }
    }
  }

  private static RouterOptions options(ExpertFleet experts, DType wire) {
    RouterOptions usual = ServedSystem.options(experts.targets());
    return new RouterOptions(
        usual.experts(),
        usual.port(),
        usual.maxTokensInFlight(),
        new ExchangeSettings(usual.exchange().maxBatchBytes(), wire),
        usual.defaultTimeout(),
        usual.maxConnectionAge(),
        usual.lookupInterval(),
        usual.callers());
  }

  private static double differenceFromDeepSpeed(ForwardResponse answer) {
    float[] expected = Tensors.floats(Digits.HELD_OUT, "moe_output");
    float[] actual = Tensors.floats(answer.getOutput());
    double largest = 0;
    for (int i = 0; i < expected.length; i++) {
      largest = Math.max(largest, Math.abs(expected[i] - actual[i]));
    }
    return largest;
  }
}
