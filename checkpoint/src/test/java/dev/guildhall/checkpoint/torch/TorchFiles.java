package dev.guildhall.checkpoint.torch;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/** Writes small .pt files. */
public final class TorchFiles {
  private TorchFiles() {}

  /**
   * Writes a dict of fp32 tensors [2, 2], nested one deep where a name begins with {@code module.},
   * and {@code num_experts}.
   *
   * @param numExperts an Integer, or a list of them
   */
  public static void write(Path path, Object numExperts, String... names) throws IOException {
    PickleWriter pickle = new PickleWriter().dict();
    pickle.text("module").op('}');
    for (String name : names) {
      if (name.startsWith("module.")) {
        pickle.text(name.substring("module.".length()));
        matrix(pickle).op('s');
      }
    }
    for (String name : names) {
      if (!name.startsWith("module.")) {
        matrix(pickle.text(name));
      }
    }
    pickle.text("num_experts");
    if (numExperts instanceof List<?> list) {
      pickle.op(']').op('(');
      list.forEach(number -> pickle.number((Integer) number));
      pickle.op('e');
    } else {
      pickle.number((Integer) numExperts);
    }
    Files.write(path, ZipWriter.torch(pickle.endDict().end(), "0", new byte[16]));
  }

  private static PickleWriter matrix(PickleWriter pickle) {
    return pickle.tensor("FloatStorage", "0", 4, 0, new long[] {2, 2}, new long[] {2, 1});
  }
}
