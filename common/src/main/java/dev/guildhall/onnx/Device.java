package dev.guildhall.onnx;

import dev.guildhall.error.GuildhallException;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Where a session computes; its text form is what {@link #parse} takes. */
public sealed interface Device {
  Device CPU = new Cpu();

  /** The processor. */
  record Cpu() implements Device {
    @Override
    public String toString() {
      return "cpu";
    }
  }

  /** The CUDA device with this index. */
  record Cuda(int index) implements Device {
    public Cuda {
      if (index < 0) {
        throw GuildhallException.invalidArgument("CUDA device " + index + " is below 0");
      }
    }

    @Override
    public String toString() {
      return "cuda:" + index;
    }
  }

  /**
   * Reads {@code cpu}, {@code cuda} (the first device) or {@code cuda:N}.
   *
   * @throws GuildhallException INVALID_ARGUMENT for any other text
   */
  static Device parse(String text) {
    if (text.equals("cpu")) {
      return CPU;
    }
    Matcher cuda = Pattern.compile("cuda(?::(\\d{1,4}))?").matcher(text);
    if (cuda.matches()) {
      String index = cuda.group(1);
      return new Cuda(index == null ? 0 : Integer.parseInt(index));
    }
    throw GuildhallException.invalidArgument(
        "device '" + text + "' is unknown; allowed are cpu, cuda and cuda:N");
  }
}
