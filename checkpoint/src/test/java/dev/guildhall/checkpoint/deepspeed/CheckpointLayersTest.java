package dev.guildhall.checkpoint.deepspeed;

import static java.util.Objects.requireNonNull;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.guildhall.checkpoint.torch.TorchFiles;
import dev.guildhall.error.ErrorCode;
import dev.guildhall.error.GuildhallException;
import dev.guildhall.safetensors.SafetensorsFile;
import dev.guildhall.safetensors.StoredTensor;
import java.io.IOException;
import java.lang.management.BufferPoolMXBean;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class CheckpointLayersTest {
  /** The checkpoint that examples/digits was imported from, as DeepSpeed wrote it. */
  private static final Path DIGITS = Path.of("src/test/resources/deepspeed/digits");

  private static final Path DIGITS_WEIGHTS = Path.of("../examples/digits/digits/model.safetensors");

  private static final String DENSE = "mp_rank_00_model_states.pt";

  private static final BufferPoolMXBean MAPPED =
      ManagementFactory.getPlatformMXBeans(BufferPoolMXBean.class).stream()
          .filter(pool -> pool.getName().equals("mapped"))
          .findFirst()
          .orElseThrow();

  @TempDir Path folder;

  @ParameterizedTest
  @ValueSource(strings = {"", "global_step920"})
  void readsWhatDeepSpeedSavedOfDigits(String tag) {
    try (CheckpointLayers digits = CheckpointLayers.open(DIGITS.resolve(tag));
        SafetensorsFile weights = SafetensorsFile.open(DIGITS_WEIGHTS)) {
      assertEquals(Set.of("moe"), digits.byPrefix().keySet());
      DeepSpeedLayer moe = layer(digits, "moe");
      moe.dense().forEach((name, tensor) -> assertSame(weights.tensor("moe." + name), tensor));
      assertEquals("moe", moe.prefix());
      assertEquals(8, moe.numExperts());
      assertEquals(
          Set.of(
              "deepspeed_moe.gate.wg.weight",
              "mlp.fc1.weight",
              "mlp.fc1.bias",
              "mlp.fc2.weight",
              "mlp.fc2.bias",
              "coefficient.weight",
              "coefficient.bias"),
          moe.dense().keySet());
      assertEquals(
          List.of("fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"),
          List.copyOf(moe.experts().getFirst().keySet()));
      for (int expert = 0; expert < moe.numExperts(); expert++) {
        String prefix = "moe.deepspeed_moe.experts.deepspeed_experts." + expert + ".";
        moe.experts()
            .get(expert)
            .forEach((name, tensor) -> assertSame(weights.tensor(prefix + name), tensor));
      }
    }
  }

  private static void assertSame(StoredTensor expected, StoredTensor tensor) {
    assertEquals(expected.dtype(), tensor.dtype());
    assertEquals(expected.shape(), tensor.shape());
    assertEquals(-1, expected.data().mismatch(tensor.data()));
    assertTrue(tensor.data().isMapped());
  }

  private static DeepSpeedLayer layer(CheckpointLayers checkpoint, String prefix) {
    return requireNonNull(checkpoint.byPrefix().get(prefix));
  }

  private static String name(String prefix, int expert, String inExpert) {
    return prefix + ".deepspeed_moe.experts.deepspeed_experts." + expert + "." + inExpert;
  }

  private void dense(Object numExperts, String... prefixes) throws IOException {
    String[] gates =
        Arrays.stream(prefixes)
            .map(prefix -> "module." + prefix + ".deepspeed_moe.gate.wg.weight")
            .toArray(String[]::new);
    TorchFiles.write(folder.resolve(DENSE), numExperts, gates);
  }

  private void expert(String file, String... names) throws IOException {
    TorchFiles.write(folder.resolve(file + "_mp_rank_00_model_states.pt"), List.of(), names);
  }

  /** Two layers of two experts. */
  private void twoLayers() throws IOException {
    dense(List.of(2, 2), "net.10.moe", "net.9.moe");
    for (int expert = 0; expert < 2; expert++) {
      expert("layer_0_expert_" + expert, name("net.10.moe", expert, "w"));
      expert("layer_1_expert_" + expert, name("net.9.moe", expert, "w"));
    }
  }

  private void refused(ErrorCode code, Path open, Path named, String why) {
    long mapped = MAPPED.getCount();
    GuildhallException e =
        assertThrows(GuildhallException.class, () -> CheckpointLayers.open(open).close());
    assertTrue(e.getMessage().startsWith(named + ": "), e.getMessage());
    assertTrue(e.getMessage().contains(why), e.getMessage());
    assertEquals(code, e.code());
    assertEquals(mapped, MAPPED.getCount(), "files that are still mapped");
  }

  private void refused(String file, String why) {
    refused(ErrorCode.INVALID_ARGUMENT, folder, folder.resolve(file), why);
  }

  @Test
  void ordersLayersAsTheModelDoes() throws IOException {
    twoLayers();
    try (CheckpointLayers checkpoint = CheckpointLayers.open(folder)) {
      assertEquals(List.of("net.10.moe", "net.9.moe"), List.copyOf(checkpoint.byPrefix().keySet()));
      assertEquals(2, layer(checkpoint, "net.9.moe").numExperts());
    }
  }

  @Test
  void readsCheckpointsOfOlderVersionsWithAllLayersInAnExpertsFile() throws IOException {
    dense(2, "b", "a");
    for (int expert = 0; expert < 2; expert++) {
      expert("expert_" + expert, name("b", expert, "w"), name("a", expert, "w"));
    }
    try (CheckpointLayers checkpoint = CheckpointLayers.open(folder)) {
      assertEquals(List.of("b", "a"), List.copyOf(checkpoint.byPrefix().keySet()));
      assertEquals(2, layer(checkpoint, "a").numExperts());
    }
  }

  @Test
  void readsAModelThatIsTheLayerItself() throws IOException {
    TorchFiles.write(folder.resolve(DENSE), List.of(2), "module.deepspeed_moe.gate.wg.weight");
    expert("layer_0_expert_0", "deepspeed_moe.experts.deepspeed_experts.0.w");
    expert("layer_0_expert_1", "deepspeed_moe.experts.deepspeed_experts.1.w");
    try (CheckpointLayers checkpoint = CheckpointLayers.open(folder)) {
      assertEquals(Set.of(""), checkpoint.byPrefix().keySet());
      assertEquals(Set.of("deepspeed_moe.gate.wg.weight"), layer(checkpoint, "").dense().keySet());
    }
  }

  @Test
  void refusesALatestThatLeadsElsewhere() throws IOException {
    Files.createDirectories(folder.resolve("checkpoint/tag"));
    Files.createDirectories(folder.resolve("other"));
    Path checkpoint = folder.resolve("checkpoint");
    Path latest = checkpoint.resolve("latest");
    for (String tag :
        List.of("../other", "..", ".", "", "tag/../../other", "/tmp", "tag/", "a\0b", "tag/x")) {
      Files.writeString(latest, tag);
      refused(ErrorCode.INVALID_ARGUMENT, checkpoint, latest, "folder beside it");
    }
    Files.createSymbolicLink(checkpoint.resolve("link"), folder.resolve("other"));
    Files.writeString(latest, "link\n");
    refused(ErrorCode.INVALID_ARGUMENT, checkpoint, latest, "leads outside");
    Files.writeString(latest, "none");
    refused(ErrorCode.NOT_FOUND, checkpoint, latest, "names \"none\"; there is no such folder");
    Files.writeString(latest, "x".repeat(2000));
    refused(ErrorCode.INVALID_ARGUMENT, checkpoint, latest, "longer than the name of a folder");
    Files.write(latest, new byte[] {(byte) 0xff});
    refused(ErrorCode.INVALID_ARGUMENT, checkpoint, latest, "cannot be read");
  }

  @Test
  void refusesFoldersThatAreNoCheckpoint() throws IOException {
    refused(ErrorCode.NOT_FOUND, folder.resolve("none"), folder.resolve("none"), "no such folder");
    refused(ErrorCode.NOT_FOUND, folder, folder, "has neither " + DENSE);
    dense(1, "a");
    refused(ErrorCode.INVALID_ARGUMENT, folder, folder, "no MoE layer");
    Files.delete(folder.resolve(DENSE));
    Files.createFile(folder.resolve("zero_pp_rank_0_mp_rank_00_model_states.pt"));
    refused(ErrorCode.INVALID_ARGUMENT, folder, folder, "ZeRO stage 3");
  }

  @ParameterizedTest
  @ValueSource(
      strings = {"mp_rank_01_model_states.pt", "layer_0_expert_1_mp_rank_03_model_states.pt"})
  void refusesModelParallelCheckpoints(String file) throws IOException {
    twoLayers();
    Files.createFile(folder.resolve(file));
    refused(file, "model-parallel ranks");
  }

  @Test
  void ignoresOptimizerFiles() throws IOException {
    twoLayers();
    Files.createFile(folder.resolve("expp_rank_0_mp_rank_00_optim_states.pt"));
    Files.createFile(folder.resolve("zero_pp_rank_1_mp_rank_00_optim_states.pt"));
    CheckpointLayers.open(folder).close();
  }

  @Test
  void namesTheExpertThatIsMissing() throws IOException {
    twoLayers();
    Path first = folder.resolve("layer_1_expert_0_mp_rank_00_model_states.pt");
    Path last = folder.resolve("layer_1_expert_1_mp_rank_00_model_states.pt");
    byte[] bytes = Files.readAllBytes(last);
    Files.delete(last);
    refused("", "the layer \"net.9.moe\" has 1 experts of 2; the first that is missing is 1");
    Files.write(last, bytes);
    Files.delete(first);
    refused("", "the layer \"net.9.moe\" has 1 experts of 2; the first that is missing is 0");
  }

  @Test
  void refusesExpertsThatTheRestDoesNotKnow() throws IOException {
    twoLayers();
    expert("layer_1_expert_2", name("net.9.moe", 2, "w"));
    refused("", "the layer \"net.9.moe\" has 3 experts; " + DENSE + " says 2");
    dense(List.of(2, 3), "net.10.moe", "net.9.moe");
    refused(DENSE, "num_experts of the layer \"net.9.moe\" is 3; its gate has 2 rows");
    dense(List.of(2, 2, 2), "net.10.moe", "net.9.moe");
    refused(DENSE, "num_experts lists 3 MoE layers; there are files of 2");
  }

  @Test
  void refusesMissingLayers() throws IOException {
    twoLayers();
    Files.delete(folder.resolve("layer_0_expert_0_mp_rank_00_model_states.pt"));
    Files.delete(folder.resolve("layer_0_expert_1_mp_rank_00_model_states.pt"));
    refused("", "has the MoE layers [1]; allowed are all from 0");
  }

  @Test
  void refusesTensorsOfOtherExpertsAndModules() throws IOException {
    twoLayers();
    expert("layer_0_expert_1", name("net.10.moe", 0, "w"));
    refused("layer_0_expert_1_mp_rank_00_model_states.pt", "allowed are those of expert 1");
    expert("layer_0_expert_1", "head.weight");
    refused("layer_0_expert_1_mp_rank_00_model_states.pt", "the tensor \"head.weight\"; allowed");
    expert("layer_0_expert_1", name("net.9.moe", 1, "w"));
    refused("layer_0_expert_1_mp_rank_00_model_states.pt", "tensors of the module \"net.9.moe\"");
    expert("layer_0_expert_1");
    refused("layer_0_expert_1_mp_rank_00_model_states.pt", "has no tensors");
  }

  @Test
  void refusesATensorTwice() throws IOException {
    twoLayers();
    TorchFiles.write(folder.resolve(DENSE), List.of(2, 2), "module." + name("net.9.moe", 1, "w"));
    refused(
        "layer_1_expert_1_mp_rank_00_model_states.pt",
        "has the tensor \"" + name("net.9.moe", 1, "w") + "\", which " + folder.resolve(DENSE));
    twoLayers();
    expert("layer_2_expert_0", name("net.9.moe", 0, "v"));
    refused("", "two of its layers are of the same module");
  }

  @Test
  void refusesExpertsThatAreNotAlike() throws IOException {
    twoLayers();
    expert("layer_0_expert_1", name("net.10.moe", 1, "w"), name("net.10.moe", 1, "b"));
    refused("", "\"net.10.moe\": expert 1 does not have the tensors that expert 0 has");
  }

  @Test
  void refusesBothKindsOfExpertFiles() throws IOException {
    twoLayers();
    expert("expert_0", name("net.9.moe", 0, "w"));
    refused("", "allowed is one kind");
  }

  @Test
  void namesTheTruncatedFile() throws IOException {
    twoLayers();
    Path file = folder.resolve("layer_1_expert_0_mp_rank_00_model_states.pt");
    byte[] bytes = Files.readAllBytes(file);
    Files.write(file, Arrays.copyOf(bytes, bytes.length / 2));
    refused(file.getFileName().toString(), "cut off");
    Files.write(file, new byte[0]);
    refused(file.getFileName().toString(), "no zip archive");
  }

  @Test
  void refusesADenseFileWithoutModule() throws IOException {
    twoLayers();
    TorchFiles.write(folder.resolve(DENSE), 2, "model.head.weight");
    refused(DENSE, "no tensors under \"module\"");
  }
}
