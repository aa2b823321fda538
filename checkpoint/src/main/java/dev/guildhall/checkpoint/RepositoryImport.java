package dev.guildhall.checkpoint;

import com.google.protobuf.util.JsonFormat;
import dev.guildhall.error.GuildhallException;
import dev.guildhall.proto.MoeLayerConfig;
import dev.guildhall.repository.Layer;
import dev.guildhall.repository.LayerConfig;
import dev.guildhall.repository.LayerRepository;
import dev.guildhall.repository.LayerWeights;
import dev.guildhall.safetensors.SafetensorsWriter;
import dev.guildhall.safetensors.StoredTensor;
import dev.guildhall.tensor.DType;
import dev.guildhall.tensor.Floats;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalDouble;
import java.util.function.Consumer;
import java.util.stream.Stream;

/**
 * Writes a checkpoint's MoE blocks into a model repository, as layers {@code model/block}. The
 * model's folder appears when all of it is written.
 *
 * @param repository made if it is not there
 * @param model the folder's name
 * @param link points to the checkpoint's files instead of copying their tensors
 */
public record RepositoryImport(Path repository, String model, WeightType type, boolean link) {
  private static final String WEIGHTS = "model.safetensors";

  /**
   * @throws GuildhallException INVALID_ARGUMENT if the model's name is none for a folder of layers
   */
  public RepositoryImport {
    LayerRepository.checkFolderName(model);
  }

  /**
   * Writes the blocks.
   *
   * @param done hears of each layer when it is written
   * @throws GuildhallException INVALID_ARGUMENT if the model is there already or a tensor is not
   *     right, NOT_FOUND if one is missing; nothing is left then
   */
  public void write(List<MoeBlock> blocks, Consumer<ImportedLayer> done) throws IOException {
    Path target = repository.resolve(model);
    if (Files.exists(target)) {
      throw GuildhallException.invalidArgument(
          "%s is there already; remove it, or import under another --name".formatted(target));
    }
    boolean made = !Files.exists(repository);
    Files.createDirectories(repository);
    // Hidden, so that a service that watches the repository does not look into it.
    Path partial = Files.createTempDirectory(repository, ".import-");
    try {
      for (MoeBlock block : blocks) {
        done.accept(write(block, Files.createDirectory(partial.resolve(block.name()))));
      }
      Files.setPosixFilePermissions(partial, Files.getPosixFilePermissions(repository));
      Files.move(partial, target, StandardCopyOption.ATOMIC_MOVE);
    } catch (IOException | RuntimeException | Error e) {
      delete(partial);
      if (made) {
        Files.deleteIfExists(repository);
      }
      throw e;
    }
  }

  private ImportedLayer write(MoeBlock block, Path folder) throws IOException {
    String name = model + "/" + block.name();
    try (Arena arena = Arena.ofConfined()) {
      Map<String, StoredTensor> tensors = block.tensors().apply(arena);
      MoeLayerConfig stored = type.in(block.config());
      Layer layer = new Layer(name, folder, stored, LayerConfig.of(stored));
      LayerWeights exact = LayerWeights.of(layer, tensors);
      check(exact, layer.config());
      Map<String, StoredTensor> written = used(layer, tensors, arena);
      List<String> files = link ? links(block, folder) : List.of(WEIGHTS);
      if (!link) {
        SafetensorsWriter.write(folder.resolve(WEIGHTS), written, Map.of());
      }
      writeConfig(folder, stored, files);
      return new ImportedLayer(
          name,
          layer.config().hiddenSize(),
          layer.config().numExperts(),
          layer.config().k(),
          written.values().stream().mapToLong(tensor -> tensor.data().byteSize()).sum(),
          type == WeightType.STORED
              ? OptionalDouble.empty()
              : OptionalDouble.of(
                  PrecisionLoss.measure(
                      exact,
                      LayerWeights.of(layer, written),
                      type.precision(),
                      layer.config().numExperts())));
    }
  }

  /** Looks at every tensor's name, shape and type, as a service that loads the layer does. */
  private static void check(LayerWeights weights, LayerConfig config) {
    var _ = weights.projection();
    var _ = weights.scoreCorrectionBias();
    for (int expert = 0; expert < config.hostedExperts(); expert++) {
      var _ = weights.expert(expert);
    }
  }

  /** The layer's own tensors of the block, the experts' in the type that is asked for. */
  private Map<String, StoredTensor> used(
      Layer layer, Map<String, StoredTensor> tensors, Arena arena) {
    Map<String, StoredTensor> used = new LinkedHashMap<>();
    tensors.forEach((name, tensor) -> {
      if (layer.config().weights().ofExpert(name)) {
        used.put(name, type.stored().map(to -> convert(tensor, to, arena)).orElse(tensor));
      } else if (layer.config().weights().used(name)) {
        used.put(name, tensor);
      }
    });
    return used;
  }

  private static StoredTensor convert(StoredTensor tensor, DType to, Arena arena) {
    if (tensor.dtype() == to) {
      return tensor;
    }
    StoredTensor wide = tensor;
    if (tensor.dtype() != DType.FP32) {
      MemorySegment memory = arena.allocate(tensor.elements() * Float.BYTES, Long.BYTES);
      Floats.toFp32(tensor.dtype(), tensor.data(), memory, tensor.elements());
      wide = new StoredTensor(DType.FP32, tensor.shape(), memory);
    }
    if (to == DType.FP32) {
      return wide;
    }
    MemorySegment narrow = arena.allocate(tensor.elements() * to.bytes(), Long.BYTES);
    Floats.fromFp32(to, wide.data(), narrow, tensor.elements());
    return new StoredTensor(to, tensor.shape(), narrow);
  }

  private List<String> links(MoeBlock block, Path folder) throws IOException {
    if (block.files().isEmpty() || type.stored().isPresent()) {
      throw GuildhallException.invalidArgument(
          "--link needs tensors that can be used as they lie in .safetensors files; those of %s cannot%s"
              .formatted(block.name(), type.stored().isPresent() ? " as " + type : ""));
    }
    List<String> names = new ArrayList<>();
    for (Path file : block.files()) {
      String name = file.getFileName().toString();
      Files.createSymbolicLink(folder.resolve(name), file.toRealPath());
      names.add(name);
    }
    return names;
  }

  private static void writeConfig(Path folder, MoeLayerConfig config, List<String> files)
      throws IOException {
    MoeLayerConfig.Builder written = config.toBuilder();
    if (!files.equals(List.of(WEIGHTS))) {
      written.getWeightsBuilder().addAllFiles(files);
    }
    Files.writeString(
        folder.resolve("layer.json"),
        JsonFormat.printer().preservingProtoFieldNames().print(written) + "\n");
  }

  private static void delete(Path folder) throws IOException {
    try (Stream<Path> all = Files.walk(folder)) {
      for (Path path : all.sorted(Comparator.reverseOrder()).toList()) {
        Files.delete(path);
      }
    }
  }
}
