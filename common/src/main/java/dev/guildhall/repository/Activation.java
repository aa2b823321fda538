package dev.guildhall.repository;

/** Activation functions of the mlp expert. */
public enum Activation {
  RELU("relu"),
  /** The exact one, by erf. */
  GELU("gelu"),
  GELU_TANH("gelu_tanh"),
  SILU("silu");

  private final String configName;

  Activation(String configName) {
    this.configName = configName;
  }

  /** The name that layer.json uses. */
  public String configName() {
    return configName;
  }
}
