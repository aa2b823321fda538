package dev.guildhall.router.gate;

/** Draws of a recorded run; a draw that was not recorded must not be asked for. */
record RecordedNoise(
    float[] jitters, int hiddenSize, float[] gumbels, float[] uniforms, int experts)
    implements NoiseSource {

  /** Draws for random token selection only, [tokens, E]. */
  static RecordedNoise uniforms(int experts, float... uniforms) {
    return new RecordedNoise(new float[0], 0, new float[0], uniforms, experts);
  }

  /** Draws for sampling only, [tokens, E]. */
  static RecordedNoise gumbels(int experts, float... gumbels) {
    return new RecordedNoise(new float[0], 0, gumbels, new float[0], experts);
  }

  /** Fails on any draw. */
  static RecordedNoise none() {
    return uniforms(0);
  }

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
