package dev.guildhall.onnx;

import ai.onnxruntime.OnnxTensor;
import ai.onnxruntime.OrtEnvironment;
import ai.onnxruntime.OrtException;
import ai.onnxruntime.OrtLoggingLevel;
import ai.onnxruntime.OrtSession;
import ai.onnxruntime.OrtSession.SessionOptions;
import dev.guildhall.error.ErrorCode;
import dev.guildhall.error.GuildhallException;
import dev.guildhall.onnx.Signature.Port;
import java.lang.foreign.MemorySegment;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.locks.ReentrantReadWriteLock;

/**
 * A loaded model that maps fp32 rows to fp32 rows, and the memory it reads: {@code [n, width]} in
 * and out, n free at each run.
 *
 * <p>Any number of threads may run it at once; each run computes on the thread that calls it and
 * writes results straight into the caller's memory. A row's values do not depend on the rows beside
 * it. {@link #close()} waits for runs in progress.
 */
public final class OnnxSession implements AutoCloseable {
  private final String what;
  private final OrtEnvironment environment;
  private final OrtSession session;
  private final SuppliedWeights weights;
  private final Signature signature;

  /** Read-held by runs, so that closing cannot free native memory under one; about 30 ns a run. */
  private final ReentrantReadWriteLock open = new ReentrantReadWriteLock();

  private boolean closed;

  private OnnxSession(String what, Opened opened, SuppliedWeights weights, Signature signature) {
    this.what = what;
    this.environment = opened.environment();
    this.session = opened.session();
    this.weights = weights;
    this.signature = signature;
  }

  /**
   * Makes a session of a graph of ours. The weights' memory is read in place, without a copy (save
   * for a tensor that is not native memory or not 4-byte aligned, which is copied once); it must
   * stay valid and unchanged until this session is closed.
   *
   * @throws GuildhallException UNAVAILABLE if the device is not there
   */
  public static OnnxSession open(OnnxGraph graph, Device device) {
    String what = "graph " + graph.model().getGraph().getName();
    OrtEnvironment environment = environment();
    SuppliedWeights weights = SuppliedWeights.of(graph.weights(), environment);
    try (SessionOptions options = SessionSettings.of(device)) {
      options.addExternalInitializers(weights.byName());
      if (device instanceof Device.Cuda) {
        // Whatever CUDA cannot run must fail here and not slow down quietly. Only for graphs of
        // ours: an exported model may well leave shape arithmetic to the CPU.
        options.addConfigEntry("session.disable_cpu_ep_fallback", "1");
      }
      OrtSession session = environment.createSession(graph.model().toByteArray(), options);
      return wrap(what, new Opened(environment, session), weights, Signature::of);
    } catch (OrtException e) {
      weights.close();
      throw notLoaded(what, device, e, ErrorCode.INTERNAL);
    } catch (RuntimeException | Error e) {
      weights.close();
      throw e;
    }
  }

  /**
   * Makes a session of a user's expert model: an .onnx file (external data beside it is mapped)
   * with one input fp32 [n, H] and a first output fp32 [n, H], n dynamic; further outputs are
   * ignored.
   *
   * @throws GuildhallException NOT_FOUND if there is no such file; INVALID_ARGUMENT if it is not a
   *     readable ONNX model or has another signature; UNAVAILABLE if the device is not there
   */
  public static OnnxSession openExpert(Path file, int hiddenSize, Device device) {
    if (!Files.isRegularFile(file)) {
      throw new GuildhallException(ErrorCode.NOT_FOUND, "there is no file " + file);
    }
    OrtEnvironment environment = environment();
    try (SessionOptions options = SessionSettings.of(device)) {
      OrtSession session = environment.createSession(file.toString(), options);
      return wrap(
          file.toString(),
          new Opened(environment, session),
          SuppliedWeights.NONE,
          opened -> Signature.ofExpert(opened, hiddenSize, file.toString()));
    } catch (OrtException e) {
      throw notLoaded(file.toString(), device, e, ErrorCode.INVALID_ARGUMENT);
    }
  }

  /** Width of an input row. */
  public int inputWidth() {
    return signature.input().width();
  }

  /** How many outputs a run gives. */
  public int outputCount() {
    return signature.outputs().size();
  }

  /** Width of a row of an output, by its place in the graph. */
  public int outputWidth(int output) {
    return signature.outputs().get(output).width();
  }

  /**
   * Computes the first {@code outputs.length} outputs, on the calling thread. Nothing is done for 0
   * rows.
   *
   * @param in [rows, inputWidth] fp32: native memory, 4-byte aligned, alive and left alone until
   *     this returns; what it holds beyond the rows is not read
   * @param outputs [rows, outputWidth(i)] fp32 each, memory as for {@code in}
   * @throws GuildhallException INVALID_ARGUMENT if memory does not fit; UNAVAILABLE if the session
   *     is closed; INTERNAL if the model fails
   */
  public void run(MemorySegment in, int rows, MemorySegment... outputs) {
    if (rows < 0 || outputs.length < 1 || outputs.length > outputCount()) {
      throw GuildhallException.invalidArgument(
          "%s: %d rows into %d outputs; allowed are 0 or more rows into 1 to %d outputs"
              .formatted(what, rows, outputs.length, outputCount()));
    }
    if (rows == 0) {
      return;
    }
    open.readLock().lock();
    try {
      if (closed) {
        throw new GuildhallException(ErrorCode.UNAVAILABLE, what + " is closed");
      }
      runOpen(in, rows, outputs);
    } catch (OrtException e) {
      throw new GuildhallException(
          ErrorCode.INTERNAL, "%s failed: %s".formatted(what, e.getMessage()), e);
    } finally {
      open.readLock().unlock();
    }
  }

  private void runOpen(MemorySegment in, int rows, MemorySegment[] outputs) throws OrtException {
    Port input = signature.input();
    try (OnnxTensor inTensor = tensor(in, rows, input)) {
      if (outputs.length == 1) {
        Port port = signature.outputs().getFirst();
        try (OnnxTensor outTensor = tensor(outputs[0], rows, port)) {
          runPinned(Map.of(input.name(), inTensor), Map.of(port.name(), outTensor));
        }
        return;
      }
      Map<String, OnnxTensor> pinned = new LinkedHashMap<>();
      try {
        for (int i = 0; i < outputs.length; i++) {
          Port port = signature.outputs().get(i);
          pinned.put(port.name(), tensor(outputs[i], rows, port));
        }
        runPinned(Map.of(input.name(), inTensor), pinned);
      } finally {
        pinned.values().forEach(OnnxTensor::close);
      }
    }
  }

  private void runPinned(Map<String, OnnxTensor> in, Map<String, OnnxTensor> out)
      throws OrtException {
    // Owns none of the pinned tensors.
    session.run(in, out).close();
  }

  /** A view, not a copy; closing it frees ONNX Runtime's handle and leaves the memory alone. */
  private OnnxTensor tensor(MemorySegment memory, int rows, Port port) throws OrtException {
    long bytes = (long) rows * port.width() * Float.BYTES;
    if (!memory.isNative()
        || memory.address() % Float.BYTES != 0
        || memory.byteSize() < bytes
        || bytes > WeightTensor.MAX_BYTES
        || !memory.scope().isAlive()) {
      throw GuildhallException.invalidArgument(
          "%s: memory for '%s' [%d, %d] is %s; it must be open native memory, 4-byte aligned, of %d bytes (below 2 GiB) or more"
              .formatted(what, port.name(), rows, port.width(), memory, bytes));
    }
    return OnnxTensor.createTensor(
        environment, floats(memory.asSlice(0, bytes)), new long[] {rows, port.width()});
  }

  static FloatBuffer floats(MemorySegment memory) {
    return memory.asByteBuffer().order(ByteOrder.nativeOrder()).asFloatBuffer();
  }

  /** Waits for runs in progress, then frees the session; its weights' memory may go after that. */
  @Override
  public void close() {
    open.writeLock().lock();
    try {
      if (!closed) {
        closed = true;
        closeNative(session);
        weights.close();
      }
    } finally {
      open.writeLock().unlock();
    }
  }

  private record Opened(OrtEnvironment environment, OrtSession session) {}

  private interface SignatureReader {
    Signature read(OrtSession session) throws OrtException;
  }

  private static OnnxSession wrap(
      String what, Opened opened, SuppliedWeights weights, SignatureReader reader)
      throws OrtException {
    try {
      return new OnnxSession(what, opened, weights, reader.read(opened.session()));
    } catch (OrtException | RuntimeException | Error e) {
      closeNative(opened.session());
      throw e;
    }
  }

  private static void closeNative(OrtSession session) {
    try {
      session.close();
    } catch (OrtException e) {
      throw new GuildhallException(ErrorCode.INTERNAL, "closing a session failed", e);
    }
  }

  /** The process has one environment, which lives as long as it. */
  private static OrtEnvironment environment() {
    OrtEnvironment environment =
        OrtEnvironment.getEnvironment(OrtLoggingLevel.ORT_LOGGING_LEVEL_ERROR);
    try {
      environment.setTelemetry(false);
      return environment;
    } catch (OrtException e) {
      throw new GuildhallException(ErrorCode.INTERNAL, "ONNX Runtime does not start", e);
    }
  }

  private static GuildhallException notLoaded(
      String what, Device device, OrtException e, ErrorCode code) {
    if (device instanceof Device.Cuda cuda
        && e.getCode() == OrtException.OrtErrorCode.ORT_EP_FAIL) {
      return SessionSettings.unavailable(cuda, e);
    }
    return new GuildhallException(
        code,
        "%s is not a model that can be loaded on %s: %s".formatted(what, device, e.getMessage()),
        e);
  }
}
