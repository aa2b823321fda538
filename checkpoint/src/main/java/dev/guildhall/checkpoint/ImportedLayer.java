package dev.guildhall.checkpoint;

import java.util.OptionalDouble;

/**
 * What became of a block.
 *
 * @param name of the layer in its repository
 * @param bytes of its weights on disk
 * @param relativeError of the experts' outputs against those of the checkpoint's weights in fp32,
 *     as the root of the mean square; empty where nothing was changed
 */
public record ImportedLayer(
    String name, int hiddenSize, int numExperts, int k, long bytes, OptionalDouble relativeError) {}
