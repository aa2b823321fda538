package dev.guildhall.repository;

import dev.guildhall.proto.MoeLayerConfig;
import java.nio.file.Path;

/**
 * A layer on disk.
 *
 * @param name its folder, relative to the repository: {@code layer} or {@code model/layer}
 * @param proto as layer.json says
 * @param config the same, checked
 */
public record Layer(String name, Path folder, MoeLayerConfig proto, LayerConfig config) {}
