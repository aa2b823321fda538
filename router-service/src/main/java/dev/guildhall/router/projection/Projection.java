package dev.guildhall.router.projection;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT_UNALIGNED;

import dev.guildhall.onnx.Device;
import dev.guildhall.onnx.OnnxGraph;
import dev.guildhall.onnx.OnnxSession;
import dev.guildhall.repository.ProjectionWeights;
import dev.guildhall.rpc.Buffers;
import io.netty.buffer.ByteBuf;
import java.lang.foreign.MemorySegment;

/**
 * The matrix product of a layer's router: hidden states by the gate's weight, in fp32 as
 * DeepSpeed's TopKGate has it, and by the weight that mixes a dense expert in where there is one.
 *
 * <p>Any number of threads may use it at once; the product is computed on the calling thread.
 */
public final class Projection implements AutoCloseable {
  private final OnnxSession session;
  private final int experts;
  private final boolean mixes;

  /**
   * Makes the session.
   *
   * @param weights their memory must stay valid until this is closed
   */
  public Projection(ProjectionWeights weights) {
    session = OnnxSession.open(OnnxGraph.projection(weights), Device.CPU);
    experts = weights.gate().outSize();
    mixes = weights.mix().isPresent();
  }

  /**
   * Logits of the gate and of what mixes the dense expert in.
   *
   * @param hiddenStates [tokens, H] fp32, native memory
   */
  public Logits project(MemorySegment hiddenStates, int tokens) {
    if (!mixes) {
      return new Logits(gate(hiddenStates, tokens), new float[0]);
    }
    ByteBuf gate = floats(tokens, experts);
    ByteBuf mix = floats(tokens, session.outputWidth(1));
    try {
      session.run(hiddenStates, tokens, Buffers.segment(gate), Buffers.segment(mix));
      return new Logits(toArray(gate), toArray(mix));
    } finally {
      gate.release();
      mix.release();
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
