package dev.guildhall.router.projection;

/**
 * What a layer's projection gives for one request.
 *
 * @param gate [tokens, E] row-major fp32
 * @param mix of the dense expert, row-major fp32: [tokens, 2] of a residual MLP, [tokens, 1] of a
 *     shared expert's gate; [0] without them
 */
public record Logits(float[] gate, float[] mix) {}
