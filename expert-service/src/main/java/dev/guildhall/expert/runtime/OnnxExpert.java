package dev.guildhall.expert.runtime;

import dev.guildhall.onnx.Device;
import dev.guildhall.onnx.MlpTensors;
import dev.guildhall.onnx.OnnxGraph;
import dev.guildhall.onnx.OnnxSession;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;

/** An expert that ONNX Runtime computes, on the calling thread or on the device it was made for. */
public final class OnnxExpert implements ExpertRuntime {
  private final OnnxSession session;

  private OnnxExpert(OnnxSession session) {
    this.session = session;
  }

  /**
   * Hosts an mlp. The weights' memory must stay valid until this is closed.
   *
   * @throws dev.guildhall.error.GuildhallException INVALID_ARGUMENT if a tensor has the wrong size,
   *     UNAVAILABLE if the device is not there
   */
  public static OnnxExpert mlp(MlpTensors weights, Device device) {
    return new OnnxExpert(OnnxSession.open(OnnxGraph.mlp(weights), device));
  }

  /**
   * Hosts a user's model: one input fp32 [n, H], first output fp32 [n, H].
   *
   * @throws dev.guildhall.error.GuildhallException NOT_FOUND, INVALID_ARGUMENT or UNAVAILABLE as
   *     {@link OnnxSession#openExpert} says
   */
  public static OnnxExpert file(Path onnxFile, int hiddenSize, Device device) {
    return new OnnxExpert(OnnxSession.openExpert(onnxFile, hiddenSize, device));
  }

  @Override
  public int hiddenSize() {
    return session.inputWidth();
  }

  @Override
  public void run(MemorySegment in, int rows, MemorySegment out) {
    session.run(in, rows, out);
  }

  @Override
  public void close() {
    session.close();
  }
}
