package dev.guildhall.repository;

/** What an expert computes, and how its weights are called. */
public sealed interface ExpertArchitecture {

  /**
   * fc2(activation(fc1(x))).
   *
   * @param fc1 name of the first linear map below an expert's prefix
   * @param fc2 name of the second
   */
  record Mlp(Activation activation, String fc1, String fc2) implements ExpertArchitecture {}

  /**
   * One .onnx file an expert.
   *
   * @param file relative to the layer's folder; {@code {expert}} stands for the expert's number
   * @param residualFile file of the residual MLP
   */
  record Onnx(String file, String residualFile) implements ExpertArchitecture {
    public String fileOf(int expert) {
      return file.replace("{expert}", Integer.toString(expert));
    }
  }
}
