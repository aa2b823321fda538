package dev.guildhall.router.projection;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT_UNALIGNED;

import dev.guildhall.onnx.Device;
import dev.guildhall.onnx.OnnxGraph;
import dev.guildhall.onnx.OnnxSession;
import dev.guildhall.onnx.ProjectionTensors;
import dev.guildhall.rpc.Buffers;
import io.netty.buffer.ByteBuf;
import java.lang.foreign.MemorySegment;

/**
 * The matrix product of a layer's router: hidden states by the gate's weight, in fp32 as
 * DeepSpeed's TopKGate has it, and by the residual coefficient's weight where the layer has one.
 *
 * <p>Any number of threads may use it at once; the product is computed on the calling thread.
 */
public final class Projection implements AutoCloseable {
  private static final int COEFFICIENTS = 2;

  private final OnnxSession session;
  private final int experts;
  private final boolean residual;

  /**
   * Makes the session.
   *
   * @param tensors their memory must stay valid until this is closed
   */
  public Projection(ProjectionTensors tensors) {
    session = OnnxSession.open(OnnxGraph.projection(tensors), Device.CPU);
    experts = tensors.numExperts();
    residual = tensors.coefficient().isPresent();
  }

  /**
   * Logits of the gate and of the coefficient.
   *
   * @param hiddenStates [tokens, H] fp32, native memory
   */
  public Logits project(MemorySegment hiddenStates, int tokens) {
    if (!residual) {
      return new Logits(gate(hiddenStates, tokens), new float[0]);
    }
    ByteBuf gate = floats(tokens, experts);
    ByteBuf coefficient = floats(tokens, COEFFICIENTS);
    try {
      session.run(hiddenStates, tokens, Buffers.segment(gate), Buffers.segment(coefficient));
      return new Logits(toArray(gate), toArray(coefficient));
    } finally {
      gate.release();
      coefficient.release();
    }
  }

  /**
   * Logits of the gate alone, [tokens, E] row-major.
   *
   * @param hiddenStates [tokens, H] fp32, native memory
   */
  public float[] gate(MemorySegment hiddenStates, int tokens) {
    ByteBuf logits = floats(tokens, experts);
    try {
      session.run(hiddenStates, tokens, Buffers.segment(logits));
      return toArray(logits);
    } finally {
      logits.release();
    }
  }

  private static ByteBuf floats(int rows, int width) {
    return Buffers.allocate(Math.multiplyExact(rows, width * Float.BYTES));
  }

  private static float[] toArray(ByteBuf floats) {
    return Buffers.segment(floats).toArray(JAVA_FLOAT_UNALIGNED);
  }

  @Override
  public void close() {
    session.close();
  }
}
