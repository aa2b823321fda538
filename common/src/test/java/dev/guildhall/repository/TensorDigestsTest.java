package dev.guildhall.repository;

import static java.util.Objects.requireNonNull;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.guildhall.error.GuildhallException;
import dev.guildhall.safetensors.SafetensorsWriter;
import dev.guildhall.safetensors.StoredTensor;
import dev.guildhall.tensor.DType;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.Predicate;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class TensorDigestsTest {
  @TempDir private Path repository;
  private final Map<String, StoredTensor> tensors = new TreeMap<>();
  private Layer layer;

  @BeforeEach
  void writeLayer() throws IOException {
    Path folder = Files.createDirectory(repository.resolve("layer"));
    Files.writeString(
        folder.resolve("layer.json"),
        """
        {"hidden_size": 2, "num_experts": 2, "mlp": {"activation": "relu"}}
        """);
    tensors.put("gate.wg.weight", fp32(1, 2, 3, 4));
    tensors.put("experts.0.fc1.weight", fp32(1, 0, 0, 1));
    tensors.put("experts.1.fc1.weight", fp32(2, 0, 0, 2));
    tensors.put("something.else", fp32(0, 0, 0, 0));
    write();
    layer = LayerRepository.open(repository).layers().getFirst();
  }

  private void write() throws IOException {
    SafetensorsWriter.write(repository.resolve("layer/model.safetensors"), tensors, Map.of());
  }

  private static StoredTensor fp32(float... values) {
    return new StoredTensor(DType.FP32, List.of(2L, 2L), MemorySegment.ofArray(values));
  }

  private String version(Predicate<String> own) {
    return LayerVersion.of(layer, LayerFolder.of(layer.folder()), own).digest();
  }

  private static boolean isFirstExperts(String tensor) {
    return tensor.startsWith("experts.0.");
  }

  private Path list() {
    return layer.folder().resolve(TensorDigests.FILE);
  }

  @Test
  void theVersionIsTheSameWithTheListAndWithout() throws IOException {
    String without = version(name -> true);
    TensorDigests.of(layer).write(layer.folder());
    assertEquals(without, version(name -> true));
    assertEquals(without, version(TensorDigestsTest::isFirstExperts));
  }

  @Test
  void listsWhatTheLayerUses() throws IOException {
    TensorDigests.of(layer).write(layer.folder());
    TensorDigests read = TensorDigests.read(layer.folder()).orElseThrow();
    assertEquals(TensorDigests.of(layer), read);
    tensors.remove("something.else");
    assertEquals(tensors.keySet(), read.byName().keySet());
  }

  @Test
  void aServiceLooksAtItsOwnTensorsOnly() throws IOException {
    String before = version(name -> true);
    TensorDigests.of(layer).write(layer.folder());
    requireNonNull(tensors.put("experts.1.fc1.weight", fp32(2, 0, 0, 3)));
    write();
    assertEquals(before, version(TensorDigestsTest::isFirstExperts));
    assertRefused(
        "tensor \"experts.1.fc1.weight\" is not the one that", name -> !isFirstExperts(name));
  }

  @Test
  void aTensorThatIsNotListedIsNotTheOne() throws IOException {
    TensorDigests.of(layer).write(layer.folder());
    tensors.put("experts.0.fc2.weight", fp32(1, 1, 1, 1));
    write();
    assertRefused(
        "tensor \"experts.0.fc2.weight\" is not the one that", TensorDigestsTest::isFirstExperts);
  }

  /** A bias, for one, would just not be added. */
  @Test
  void aTensorThatIsListedMustBeThere() throws IOException {
    TensorDigests.of(layer).write(layer.folder());
    tensors.remove("experts.0.fc1.weight");
    write();
    assertRefused(
        "lists the tensor \"experts.0.fc1.weight\", which none of",
        TensorDigestsTest::isFirstExperts);
    Files.delete(layer.folder().resolve("model.safetensors"));
    assertRefused("which none of the layer's files has", name -> !isFirstExperts(name));
  }

  @Test
  void refusesAListThatIsNone() throws IOException {
    Files.writeString(list(), "0123  gate.wg.weight\n");
    assertRefused("tensors.sha256: a line is \"0123  gate.wg.weight\"", name -> true);
    Files.write(list(), new byte[] {(byte) 0xff, (byte) 0xfe});
    assertRefused("tensors.sha256 cannot be read", name -> true);
  }

  private void assertRefused(String message, Predicate<String> own) {
    GuildhallException refused = assertThrows(GuildhallException.class, () -> version(own));
    assertTrue(requireNonNull(refused.getMessage()).contains(message), refused.getMessage());
  }
}
