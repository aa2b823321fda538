package dev.guildhall.expert.runtime;

import dev.guildhall.error.GuildhallException;
import dev.guildhall.onnx.Device;
import dev.guildhall.onnx.OnnxGraph;
import dev.guildhall.onnx.OnnxSession;
import dev.guildhall.repository.ExpertWeights;
import dev.guildhall.repository.Precision;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;

/** An expert that ONNX Runtime computes, on the calling thread or on the device it was made for. */
public final class OnnxExpert implements ExpertRuntime {
  private final OnnxSession session;

  private OnnxExpert(OnnxSession session) {
    this.session = session;
  }

  /**
   * Hosts an expert of a known architecture. The weights' memory must stay valid until this is
   * closed.
   *
   * @throws dev.guildhall.error.GuildhallException INVALID_ARGUMENT if a tensor is too large or the
   *     device does not compute in this precision, UNAVAILABLE if the device is not there
   */
  public static OnnxExpert of(ExpertWeights weights, Precision precision, Device device) {
    if (precision == Precision.FP16 && !(device instanceof Device.Cuda)) {
      throw GuildhallException.invalidArgument(
          "precision is fp16; allowed on device %s are fp32, int8 and int4".formatted(device));
    }
    return new OnnxExpert(OnnxSession.open(OnnxGraph.expert(weights, precision), device));
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
