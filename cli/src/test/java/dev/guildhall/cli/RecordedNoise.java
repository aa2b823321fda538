package dev.guildhall.cli;

import dev.guildhall.router.gate.NoiseSource;

/**
 * The draws of a recorded run; one that was not recorded must not be asked for.
 *
 * @param jitters [tokens, hiddenSize]
 * @param gumbels [tokens, experts]
 * @param uniforms [tokens, experts]
 */
record RecordedNoise(
    float[] jitters, float[] gumbels, float[] uniforms, int hiddenSize, int experts)
    implements NoiseSource {

  @Override
  public float jitter(int token, int dim) {
    return jitters[token * hiddenSize + dim];
  }

  @Override
  public float gumbel(int token, int expert) {
    return gumbels[token * experts + expert];
  }

  @Override
  public float uniform(int token, int expert) {
    return uniforms[token * experts + expert];
  }
}
