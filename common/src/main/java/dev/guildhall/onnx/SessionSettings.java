package dev.guildhall.onnx;

import ai.onnxruntime.OrtException;
import ai.onnxruntime.OrtLoggingLevel;
import ai.onnxruntime.OrtSession.SessionOptions;
import ai.onnxruntime.providers.OrtCUDAProviderOptions;
import dev.guildhall.error.ErrorCode;
import dev.guildhall.error.GuildhallException;

/** The options that every session of ours is made with. */
final class SessionSettings {
  private SessionSettings() {}

  /**
   * Options for a device; the caller closes them.
   *
   * @throws GuildhallException UNAVAILABLE if the device is not there
   */
  static SessionOptions of(Device device) throws OrtException {
    SessionOptions options = new SessionOptions();
    try {
      configure(options);
      if (device instanceof Device.Cuda cuda) {
        addCuda(options, cuda);
      }
      return options;
    } catch (OrtException | RuntimeException | Error e) {
      options.close();
      throw e;
    }
  }

  private static void configure(SessionOptions options) throws OrtException {
    options.setSessionLogLevel(OrtLoggingLevel.ORT_LOGGING_LEVEL_ERROR);
    // Parallelism is the caller's: several one-thread runs side by side. Eight sessions with pools
    // of their own took 45 ms on two cores where two workers over one-thread sessions took 5.
    options.setIntraOpNumThreads(1);
    options.setInterOpNumThreads(1);
    options.addConfigEntry("session.intra_op.allow_spinning", "0");
    options.addConfigEntry("session.inter_op.allow_spinning", "0");
    // A pattern is kept for every number of rows ever seen, and there are hundreds; on CUDA it also
    // grows memory with the number of sessions (onnxruntime issue 29351).
    options.setMemoryPatternOptimization(false);
    // An arena would keep the largest intermediate result for each session, and there is a session
    // an expert: malloc shares that memory among them, at no measurable cost.
    options.setCPUArenaAllocator(false);
    // Prepacking stays on: without it 4 rows of a 512/2048 MLP take 464 us instead of 167. Its
    // price
    // is a packed copy: 268 MB of mapped weights added 264 MB of anonymous memory, beside the page
    // cache. Off saves nothing, for then ONNX Runtime keeps as large a copy of its own. glibc's
    // malloc holds on to 476 MB, though, and to all of it after the sessions are closed, unless
    // the JVM runs with -XX:TrimNativeHeapInterval; fixed malloc thresholds do that as well, but
    // cost 15 % and more from 64 rows on.
  }

  private static void addCuda(SessionOptions options, Device.Cuda cuda) throws OrtException {
    try (OrtCUDAProviderOptions provider = new OrtCUDAProviderOptions(cuda.index())) {
      // tf32 rounds inputs to 10 bits; answers would differ from the CPU's in the third digit.
      provider.add("use_tf32", "0");
      options.addCUDA(provider);
    } catch (OrtException | UnsatisfiedLinkError e) {
      throw unavailable(cuda, e);
    }
  }

  static GuildhallException unavailable(Device.Cuda cuda, Throwable cause) {
    return new GuildhallException(
        ErrorCode.UNAVAILABLE,
        "device %s was asked for, but CUDA cannot be used: %s. It takes a build with the Maven profile 'cuda', an NVIDIA driver and the CUDA libraries; use --device cpu otherwise"
            .formatted(cuda, cause.getMessage()),
        cause);
  }
}
