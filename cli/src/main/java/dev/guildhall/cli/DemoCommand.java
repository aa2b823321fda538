package dev.guildhall.cli;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT_UNALIGNED;
import static java.lang.foreign.ValueLayout.JAVA_LONG_UNALIGNED;

import ch.qos.logback.classic.Level;
import ch.qos.logback.classic.Logger;
import com.google.errorprone.annotations.FormatMethod;
import com.google.gson.JsonObject;
import dev.guildhall.client.RouterClient;
import dev.guildhall.expert.ExpertOptions;
import dev.guildhall.metrics.Metrics;
import dev.guildhall.onnx.Device;
import dev.guildhall.proto.ForwardResponse;
import dev.guildhall.repository.ExpertParallel;
import dev.guildhall.repository.LayerRepository;
import dev.guildhall.router.RouterOptions;
import dev.guildhall.rpc.Transport;
import dev.guildhall.safetensors.SafetensorsFile;
import dev.guildhall.safetensors.StoredTensor;
import io.grpc.ManagedChannel;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.slf4j.LoggerFactory;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** {@code guildhall demo}. */
@Command(
    name = "demo",
    description = "Serves a small digits classifier's MoE layer and compares it with DeepSpeed.",
    mixinStandardHelpOptions = true)
final class DemoCommand implements Callable<Integer> {
  private static final String LAYER = "digits";
  private static final int EP_SIZE = 2;
  private static final int MAX_MESSAGE_BYTES = 64 << 20;
  private static final double TOLERANCE = 1e-4;
  private static final Duration TIMEOUT = Duration.ofSeconds(60);

  @Option(names = "--json", fallbackValue = "true", description = "Prints one JSON object.")
  private boolean json;

  /** What came out, beside what DeepSpeed and the labels say. */
  private record Outcome(
      int correct, int total, double maxAbsDiff, double deepspeedLAux, ForwardResponse response) {
    boolean exact() {
      return maxAbsDiff <= TOLERANCE;
    }
  }

  @Override
  public Integer call() throws Exception {
    // Replicas that come and go are news to a server's operator, not here.
    ((Logger) LoggerFactory.getLogger(Logger.ROOT_LOGGER_NAME)).setLevel(Level.ERROR);
    Path examples = Path.of(System.getProperty("guildhall.home", "."), "examples", "digits");
    List<ExpertOptions> ranks =
        Stream.iterate(0, rank -> rank + 1)
            .limit(EP_SIZE)
            .map(rank ->
                ExpertOptions.of("rank-" + rank, new ExpertParallel(rank, EP_SIZE), Device.CPU, 1))
            .toList();
    try (Transport transport = new Transport(1, MAX_MESSAGE_BYTES);
        Metrics metrics = new Metrics(0);
        EmbeddedSystem system =
            EmbeddedSystem.start(
                LayerRepository.open(examples),
                ranks,
                targets -> RouterOptions.of(targets, 0),
                transport,
                metrics.telemetry());
        SafetensorsFile heldOut = SafetensorsFile.open(examples.resolve("heldout.safetensors"));
        SafetensorsFile model =
            SafetensorsFile.open(examples.resolve(LAYER).resolve("model.safetensors"))) {
      system.router().ready().get(TIMEOUT.toSeconds(), TimeUnit.SECONDS);
      Outcome outcome = run(transport, system.router().port(), heldOut, model);
      print(outcome);
      return outcome.exact() ? 0 : 1;
    }
  }

  private static Outcome run(
      Transport transport, int port, SafetensorsFile heldOut, SafetensorsFile model) {
    ManagedChannel channel = transport.channel("localhost:" + port);
    StoredTensor hiddenStates = heldOut.tensor("hidden_states");
    try {
      ForwardResponse response =
          new RouterClient(channel, TIMEOUT)
              .forward(ForwardRequests.of(LAYER, hiddenStates).build());
      float[] output =
          MemorySegment.ofBuffer(response.getOutput().asReadOnlyByteBuffer())
              .toArray(JAVA_FLOAT_UNALIGNED);
      long[] labels = heldOut.tensor("labels").data().toArray(JAVA_LONG_UNALIGNED);
      return new Outcome(
          DigitsHead.of(model).correct(floats(hiddenStates), output, labels),
          labels.length,
          maxAbsDiff(output, floats(heldOut.tensor("moe_output"))),
          floats(heldOut.tensor("l_aux"))[0],
          response);
    } finally {
      channel.shutdownNow();
    }
  }

  private static float[] floats(StoredTensor tensor) {
    return tensor.data().toArray(JAVA_FLOAT_UNALIGNED);
  }

  private static double maxAbsDiff(float[] actual, float[] expected) {
    double largest = 0;
    for (int i = 0; i < expected.length; i++) {
      largest = Math.max(largest, Math.abs((double) actual[i] - expected[i]));
    }
    return largest;
  }

  private void print(Outcome outcome) {
    ForwardResponse response = outcome.response();
    if (json) {
      JsonObject object = Results.layerOutput(response);
      object.addProperty("correct", outcome.correct());
      object.addProperty("total", outcome.total());
      object.addProperty("max_abs_diff", outcome.maxAbsDiff());
      System.out.println(object);
      return;
    }
    line(
        "Served layer '%s' (8 experts, k=2, residual MLP) with a router and %d expert services.",
        LAYER, EP_SIZE);
    line(
        "accuracy      %s (%d/%d held-out pictures)",
        Results.percent(outcome.correct(), outcome.total()), outcome.correct(), outcome.total());
    line(
        "max_abs_diff  %.2e from DeepSpeed's own output (allowed %.0e): %s",
        outcome.maxAbsDiff(), TOLERANCE, outcome.exact() ? "ok" : "TOO LARGE");
    line("l_aux         %.6f (DeepSpeed %.6f)", response.getLAux(), outcome.deepspeedLAux());
    line(
        "routes        %d dropped, capacity %d",
        response.getDroppedRoutes(), response.getCapacity());
    line("tokens per expert");
    Results.tokensPerExpert(response).forEach(System.out::println);
  }

  @FormatMethod
  private static void line(String format, @Nullable Object... arguments) {
    System.out.println(String.format(Locale.ROOT, format, arguments));
  }
}
