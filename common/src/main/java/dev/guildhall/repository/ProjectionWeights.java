package dev.guildhall.repository;

import java.util.Optional;

/**
 * What a router multiplies hidden states with.
 *
 * @param gate [E, H]
 * @param mix of the dense expert: the residual coefficient [2, H] with its bias, or the shared
 *     expert's gate [1, H]
 */
public record ProjectionWeights(Linear gate, Optional<Linear> mix) {}
