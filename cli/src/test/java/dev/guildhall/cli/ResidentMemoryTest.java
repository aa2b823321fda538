package dev.guildhall.cli;

import dev.guildhall.safetensors.DerivedTensor;
import dev.guildhall.safetensors.SafetensorsWriter;
import dev.guildhall.safetensors.TensorSource;
import dev.guildhall.tensor.DType;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** What a process keeps in memory for the experts that it hosts. */
class ResidentMemoryTest {
  private static final int EXPERTS = 16;
  private static final int HIDDEN = 1024;
  private static final int FFN = 3072;

  /** A process without experts, and what its heap has grown by while it loaded. */
  private static final long PROCESS_MIB = 250;

  @TempDir private Path repository;

  /** Were the mapped weights or a second copy kept, fp32 would take 800 MiB more. */
  @ParameterizedTest
  @CsvSource({"fp32, 32", "int8, 8.5"})
  void isWithinAThirdOfTheExpertsBytes(String precision, double bitsOfAWeight) throws Exception {
    write(precision);
    double expertsMib = EXPERTS * 2L * HIDDEN * FFN * bitsOfAWeight / Byte.SIZE / (1 << 20);
    try (CommandProcess experts =
        CommandProcess.start(
            repository,
            List.of(),
            List.of(
                "@" + Path.of(System.getProperty("guildhall.home", ".."), "deploy/jvm.options")),
            List.of("expert", "--repository=" + repository, "--port=0", "--metrics-port=0"))) {
      var _ = experts.port("grpc");
      Await.until(
          "resident memory of %.0f MiB and %d".formatted(1.3 * expertsMib, PROCESS_MIB),
          () -> residentMib(experts.pid()) < 1.3 * expertsMib + PROCESS_MIB);
    }
  }

  private void write(String precision) throws IOException {
    Path folder = Files.createDirectory(repository.resolve("layer"));
    Files.writeString(
        folder.resolve("layer.json"),
        """
        {"hidden_size": %d, "num_experts": %d, "precision": "%s", "mlp": {"activation": "relu"}}
        """
            .formatted(HIDDEN, EXPERTS, precision));
    Map<String, TensorSource> tensors = new LinkedHashMap<>();
    tensors.put("gate.wg.weight", random(0, EXPERTS, HIDDEN));
    for (int expert = 0; expert < EXPERTS; expert++) {
      tensors.put("experts." + expert + ".fc1.weight", random(tensors.size(), FFN, HIDDEN));
      tensors.put("experts." + expert + ".fc2.weight", random(tensors.size(), HIDDEN, FFN));
    }
    SafetensorsWriter.write(folder.resolve("model.safetensors"), tensors, Map.of());
  }

  /** Random, since a session keeps one of two weights that are equal. */
  private static TensorSource random(int seed, int rows, int columns) {
    return new DerivedTensor(
        DType.FP32,
        List.of((long) rows, (long) columns),
        arena -> arena.allocateFrom(ValueLayout.JAVA_FLOAT, Tensors.random(seed, rows * columns)));
  }

  private static long residentMib(long pid) {
    try (Stream<String> lines = Files.lines(Path.of("/proc/" + pid + "/status"))) {
      String line = lines.filter(each -> each.startsWith("VmRSS:")).findFirst().orElseThrow();
      return Long.parseLong(line.replaceAll("[^0-9]", "")) / 1024;
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }
}
