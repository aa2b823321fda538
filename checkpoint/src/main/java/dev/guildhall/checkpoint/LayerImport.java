package dev.guildhall.checkpoint;

import com.google.protobuf.util.JsonFormat;
import dev.guildhall.error.ErrorCode;
import dev.guildhall.error.GuildhallException;
import dev.guildhall.proto.MoeLayerConfig;
import dev.guildhall.repository.Layer;
import dev.guildhall.repository.LayerConfig;
import dev.guildhall.repository.LayerWeights;
import dev.guildhall.repository.TensorDigests;
import dev.guildhall.safetensors.DerivedTensor;
import dev.guildhall.safetensors.SafetensorsWriter;
import dev.guildhall.safetensors.StoredTensor;
import dev.guildhall.safetensors.TensorSource;
import dev.guildhall.tensor.DType;
import dev.guildhall.tensor.Floats;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalDouble;
import java.util.Set;
import java.util.function.BiFunction;
import java.util.function.Consumer;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

/** A block on its way to a layer's folder. No more than one expert of it is made at a time. */
final class LayerImport {
  private static final String WEIGHTS = "model.safetensors";
  private static final int NAMED = 5;

  private final MoeBlock block;
  private final WeightType type;
  private final Layer layer;
  private final Map<String, TensorSource> source;

  /**
   * A block as it is in the checkpoint.
   *
   * @param folder where the layer will be
   * @throws GuildhallException INVALID_ARGUMENT if its options do not go together; NOT_FOUND or
   *     INVALID_ARGUMENT for a file of its tensors
   */
  LayerImport(MoeBlock block, WeightType type, String model, Path folder) {
    this.block = block;
    this.type = type;
    this.layer = layer(model + "/" + block.name(), folder, type.in(block.config()));
    this.source = block.tensors().get();
  }

  String folderName() {
    return block.name();
  }

  private static Layer layer(String name, Path folder, MoeLayerConfig config) {
    return new Layer(name, folder, config, LayerConfig.of(config));
  }

  /**
   * Looks at every tensor's name, shape and type, as a service that loads the layer does.
   *
   * @param link whether the checkpoint's files are to be used as they are
   * @throws GuildhallException NOT_FOUND if a tensor is missing; INVALID_ARGUMENT if one is not
   *     right, is none that the layer computes with, or cannot be linked to
   */
  void check(boolean link) {
    if (link) {
      checkLinkable();
    }
    Set<String> left = new HashSet<>(source.keySet());
    read(LayerImport::blank, left, LayerWeights::projection);
    // Its values are looked at.
    read(TensorSource::read, left, LayerWeights::scoreCorrectionBias);
    for (int e = 0; e < layer.config().hostedExperts(); e++) {
      int expert = e;
      read(LayerImport::blank, left, weights -> weights.expert(expert));
    }
    if (!left.isEmpty()) {
      throw GuildhallException.invalidArgument(
          "layer %s: %d of the checkpoint's tensors would not be computed with: %s%s; its architecture is another one"
              .formatted(
                  layer.name(),
                  left.size(),
                  left.stream().sorted().limit(NAMED).collect(Collectors.joining(", ")),
                  left.size() > NAMED ? ", ..." : ""));
    }
  }

  private void checkLinkable() {
    if (block.files().isEmpty() || type.stored().isPresent()) {
      throw GuildhallException.invalidArgument(
          "--link needs tensors that can be used as they lie in .safetensors files; those of %s cannot%s"
              .formatted(block.name(), type.stored().isPresent() ? " as " + type : ""));
    }
    source.forEach((name, tensor) -> {
      // A service would keep a copy of it beside what it computes with.
      if (tensor instanceof StoredTensor stored && !stored.inPlace()) {
        throw GuildhallException.invalidArgument(
            "--link: tensor \"%s\" does not begin at a multiple of 4 bytes in its file; allowed without --link"
                .formatted(name));
      }
    });
  }

  /** One that is still to be made without its values, as long as only its shape matters. */
  private static StoredTensor blank(TensorSource tensor, Arena arena) {
    return tensor instanceof StoredTensor stored
        ? stored
        : new StoredTensor(tensor.dtype(), tensor.shape(), arena.allocate(tensor.bytes()));
  }

  /**
   * Reads weights of the checkpoint, each tensor once.
   *
   * @param make how a tensor is made
   * @param left the names of those that are read are taken off
   */
  private void read(
      BiFunction<TensorSource, Arena, StoredTensor> make,
      Set<String> left,
      Consumer<LayerWeights> reader) {
    if (Thread.currentThread().isInterrupted()) {
      throw new GuildhallException(ErrorCode.CANCELLED, "the import was interrupted");
    }
    try (Arena arena = Arena.ofConfined()) {
      Map<String, StoredTensor> made = new HashMap<>();
      reader.accept(
          LayerWeights.of(
              layer,
              name -> {
                left.remove(name);
                TensorSource tensor = source.get(name);
                return tensor == null
                    ? null
                    : made.computeIfAbsent(name, n -> make.apply(tensor, arena));
              }));
    }
  }

  /**
   * Writes the layer.
   *
   * @param folder an empty one
   */
  ImportedLayer write(Path folder, boolean link) throws IOException {
    List<String> files = link ? link(folder) : copy(folder);
    MoeLayerConfig.Builder config = layer.proto().toBuilder();
    if (!files.equals(List.of(WEIGHTS))) {
      config.getWeightsBuilder().addAllFiles(files);
    }
    Files.writeString(
        folder.resolve("layer.json"),
        JsonFormat.printer().preservingProtoFieldNames().print(config) + "\n");
    Layer written = layer(layer.name(), folder, config.build());
    try (LayerWeights weights = LayerWeights.open(written)) {
      TensorDigests.of(written).write(folder);
      return new ImportedLayer(
          layer.name(),
          layer.config().hiddenSize(),
          layer.config().numExperts(),
          layer.config().k(),
          tensors().values().stream().mapToLong(TensorSource::bytes).sum(),
          loss(weights));
    }
  }

  private List<String> copy(Path folder) throws IOException {
    SafetensorsWriter.write(folder.resolve(WEIGHTS), tensors(), Map.of());
    return List.of(WEIGHTS);
  }

  private List<String> link(Path folder) throws IOException {
    List<String> names = new ArrayList<>();
    for (Path file : block.files()) {
      String name = file.getFileName().toString();
      Files.createSymbolicLink(folder.resolve(name), file.toRealPath());
      names.add(name);
    }
    return names;
  }

  /** The block's tensors, the experts' in the type that is asked for. */
  private Map<String, TensorSource> tensors() {
    Map<String, TensorSource> tensors = new LinkedHashMap<>();
    source.forEach((name, tensor) ->
        tensors.put(
            name,
            layer.config().weights().ofExpert(name)
                ? type.stored().map(to -> converted(name, tensor, to)).orElse(tensor)
                : tensor));
    return tensors;
  }

  private static TensorSource converted(String name, TensorSource source, DType to) {
    return source.dtype() == to
        ? source
        : new DerivedTensor(
            to, source.shape(), arena -> convert(name, source.read(arena), to, arena));
  }

  private static MemorySegment convert(String name, StoredTensor tensor, DType to, Arena arena) {
    long elements = tensor.elements();
    MemorySegment wide = tensor.data();
    if (tensor.dtype() != DType.FP32) {
      wide = arena.allocate(elements * Float.BYTES, Long.BYTES);
      Floats.toFp32(tensor.dtype(), tensor.data(), wide, elements);
    }
    if (to == DType.FP32) {
      return wide;
    }
    MemorySegment narrow = arena.allocate(elements * to.bytes(), Long.BYTES);
    Floats.fromFp32(to, wide, narrow, elements);
    MemorySegment again = arena.allocate(elements * Float.BYTES, Long.BYTES);
    Floats.toFp32(to, narrow, again, elements);
    long wrong = Floats.firstNonFinite(again, elements);
    if (wrong >= 0) {
      throw GuildhallException.invalidArgument(
          "element %d of tensor \"%s\" does not fit %s; allowed is another --dtype"
              .formatted(wrong, name, to));
    }
    return narrow;
  }

  private OptionalDouble loss(LayerWeights written) {
    if (type == WeightType.STORED) {
      return OptionalDouble.empty();
    }
    PrecisionLoss loss = new PrecisionLoss(type.precision());
    int last = layer.config().numExperts() - 1;
    // The dense expert, if there is one, comes last.
    IntStream.of(0, last / 2, last, layer.config().hostedExperts() - 1)
        .distinct()
        .forEach(expert ->
            read(
                TensorSource::read,
                new HashSet<>(),
                exact -> loss.add(exact.expert(expert), written.expert(expert))));
    return OptionalDouble.of(loss.relative(layer.name()));
  }
}
