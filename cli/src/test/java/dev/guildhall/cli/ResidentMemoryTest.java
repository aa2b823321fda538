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
import java.util.concurrent.atomic.AtomicLong;
import java.util.stream.Stream;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** What a process keeps in memory for the experts that it hosts. */
class ResidentMemoryTest {
  private static final int FEW = 8;
  private static final int MANY = 40;
  private static final int HIDDEN = 1024;
  private static final int FFN = 3072;

  @TempDir private Path folder;

  /** Were the mapped weights or a second copy kept, a further expert would take twice its bytes. */
  @ParameterizedTest
  @CsvSource({"fp32, 32", "int8, 8.5", "int4, 4.5"})
  void aFurtherExpertTakesNoMoreThanAThirdAboveItsBytes(String precision, double bitsOfAWeight)
      throws Exception {
    double nominalMib = (MANY - FEW) * 2L * HIDDEN * FFN * bitsOfAWeight / Byte.SIZE / (1 << 20);
    try (CommandProcess few = experts(precision, FEW);
        CommandProcess many = experts(precision, MANY)) {
      var _ = few.port("grpc"); // Told when the experts are loaded.
      var _ = many.port("grpc");
      AtomicLong leastOfFew = new AtomicLong(Long.MAX_VALUE);
      Await.until(
          "growth of resident memory up to 1.3 times %.0f MiB".formatted(nominalMib),
          () -> {
            long ofFew = leastOfFew.accumulateAndGet(residentMib(few.pid()), Math::min);
            return residentMib(many.pid()) - ofFew < 1.3 * nominalMib;
          });
    }
  }

  private CommandProcess experts(String precision, int experts) throws Exception {
    Path repository = Files.createDirectory(folder.resolve("experts-" + experts));
    write(repository, precision, experts);
    return CommandProcess.start(
        repository,
        List.of(),
        List.of(
            "@" + Path.of(System.getProperty("guildhall.home", ".."), "deploy/jvm.options"),
            "-XX:+AlwaysPreTouch", // Both Java heaps take the same then.
            "-Xms128m",
            "-Xmx128m"),
        List.of("expert", "--repository=" + repository, "--port=0", "--metrics-port=0"));
  }

  private static void write(Path repository, String precision, int experts) throws IOException {
    Path folder = Files.createDirectory(repository.resolve("layer"));
    Files.writeString(
        folder.resolve("layer.json"),
        """
        {"hidden_size": %d, "num_experts": %d, "precision": "%s", "mlp": {"activation": "relu"}}
        """
            .formatted(HIDDEN, experts, precision));
    Map<String, TensorSource> tensors = new LinkedHashMap<>();
    tensors.put("gate.wg.weight", random(0, experts, HIDDEN));
    for (int expert = 0; expert < experts; expert++) {
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
