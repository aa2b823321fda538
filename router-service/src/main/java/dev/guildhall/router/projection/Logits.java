package dev.guildhall.router.projection;

/**
 * What a layer's projection gives for one request.
 *
 * @param gate [tokens, E] row-major fp32
 * @param coefficient [tokens, 2] row-major fp32; [0] without a residual MLP
 */
public record Logits(float[] gate, float[] coefficient) {}
