package dev.guildhall.cli;

import static dev.guildhall.error.GuildhallException.invalidArgument;

import com.google.gson.JsonObject;
import dev.guildhall.client.RouterClient;
import dev.guildhall.proto.ForwardRequest;
import dev.guildhall.proto.ForwardResponse;
import dev.guildhall.rpc.Transport;
import dev.guildhall.safetensors.SafetensorsFile;
import dev.guildhall.safetensors.SafetensorsWriter;
import dev.guildhall.safetensors.StoredTensor;
import dev.guildhall.tensor.DType;
import io.grpc.ManagedChannel;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code guildhall infer}. */
@Command(
    name = "infer",
    description =
        "Sends the hidden_states of a .safetensors file through a layer of a running router.",
    mixinStandardHelpOptions = true)
final class InferCommand implements Callable<Integer> {
  private static final int MAX_ANSWER_BYTES = 256 << 20;

  @Mixin private final ClientFlags flags = new ClientFlags();

  @Option(
      names = "--target",
      required = true,
      paramLabel = "HOST:PORT",
      description = "The router.")
  private String target = "";

  @Option(names = "--layer", required = true, paramLabel = "NAME", description = "The layer.")
  private String layer = "";

  @Option(
      names = "--input",
      required = true,
      paramLabel = "FILE",
      description = "Tensor hidden_states [..., H], and used_token [tokens] if it is there.")
  private Path input = Path.of(".");

  @Option(
      names = "--output",
      required = true,
      paramLabel = "FILE",
      description = "Gets output, l_aux and exp_counts.")
  private Path output = Path.of(".");

  @Option(
      names = "--training",
      fallbackValue = "true",
      description = "Training mode: its capacity factor and noise.")
  private boolean training;

  @Option(
      names = "--seed",
      paramLabel = "N",
      description = "Makes the gate's random draws repeatable.")
  private @Nullable Long seed;

  @Option(
      names = "--missing-experts",
      paramLabel = "fail|drop",
      description =
          "What to do when no replica hosts an expert that is needed. Default: as the layer says.")
  private @Nullable MissingExpertsPolicy missingExperts;

  @Option(
      names = "--timeout-seconds",
      defaultValue = "60",
      paramLabel = "N",
      description = "Default: ${DEFAULT-VALUE}.")
  private int timeoutSeconds;

  @Option(names = "--json", fallbackValue = "true", description = "Prints one JSON object.")
  private boolean json;

  @Override
  public Integer call() throws Exception {
    try (Transport transport = new Transport(1, MAX_ANSWER_BYTES, flags.tls());
        SafetensorsFile file = SafetensorsFile.open(input)) {
      ManagedChannel channel = transport.channel(target);
      RouterClient client =
          new RouterClient(flags.withToken(channel), Duration.ofSeconds(timeoutSeconds));
      try {
        ForwardResponse response = client.forward(request(file));
        write(response, file.tensor("hidden_states").dtype());
        print(response);
      } finally {
        channel.shutdownNow();
      }
    }
    return 0;
  }

  private ForwardRequest request(SafetensorsFile file) {
    ForwardRequest.Builder request =
        ForwardRequests.of(layer, file.tensor("hidden_states")).setTraining(training);
    if (seed != null) {
      request.setSeed(seed);
    }
    if (missingExperts != null) {
      request.setMissingExperts(missingExperts.proto());
    }
    StoredTensor used = file.tensors().get("used_token");
    for (long i = 0; used != null && i < used.elements(); i++) {
      request.addUsedToken(isUsed(used, i));
    }
    return request.build();
  }

  private static boolean isUsed(StoredTensor used, long index) {
    return switch (used.dtype()) {
      case BOOL, UINT8, INT8, INT16, INT32, INT64 -> !isZero(used, index);
      default ->
          throw invalidArgument(
              "used_token is %s; allowed are BOOL and whole numbers".formatted(used.dtype()));
    };
  }

  private static boolean isZero(StoredTensor tensor, long index) {
    int bytes = tensor.dtype().bytes();
    MemorySegment element = tensor.data().asSlice(index * bytes, bytes);
    return element.mismatch(MemorySegment.ofArray(new byte[bytes])) == -1;
  }

  private void write(ForwardResponse response, DType dtype) throws IOException {
    Map<String, StoredTensor> tensors = new LinkedHashMap<>();
    tensors.put(
        "output",
        new StoredTensor(
            dtype,
            response.getShapeList(),
            MemorySegment.ofBuffer(response.getOutput().asReadOnlyByteBuffer())));
    tensors.put(
        "l_aux",
        new StoredTensor(
            DType.FP32, List.of(1L), MemorySegment.ofArray(new float[] {response.getLAux()})));
    long[] counts = response.getExpCountsList().stream().mapToLong(Long::longValue).toArray();
    tensors.put(
        "exp_counts",
        new StoredTensor(
            DType.INT64, List.of((long) counts.length), MemorySegment.ofArray(counts)));
    SafetensorsWriter.write(output, tensors, Map.of());
  }

  private void print(ForwardResponse response) {
    if (json) {
      JsonObject object = Results.layerOutput(response);
      object.addProperty("output", output.toString());
      System.out.println(object);
      return;
    }
    System.out.println(
        "layer %s: output %s -> %s".formatted(layer, response.getShapeList(), output));
    System.out.println(
        "l_aux %.6f, capacity %d, routes dropped %d"
            .formatted(response.getLAux(), response.getCapacity(), response.getDroppedRoutes()));
    if (response.getLostRoutes() > 0) {
      System.out.println(
          "routes lost %d: no replica hosts experts %s"
              .formatted(response.getLostRoutes(), response.getLostExpertsList()));
    }
    Results.tokensPerExpert(response).forEach(System.out::println);
  }
}
