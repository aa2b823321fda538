package dev.guildhall.checkpoint.torch;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.guildhall.error.ErrorCode;
import dev.guildhall.error.GuildhallException;
import dev.guildhall.fuzz.HeapBound;
import dev.guildhall.fuzz.ScratchFile;
import dev.guildhall.fuzz.SeedFolder;
import dev.guildhall.safetensors.StoredTensor;
import java.io.IOException;
import java.lang.foreign.ValueLayout;
import java.lang.management.BufferPoolMXBean;
import java.lang.management.ManagementFactory;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.stream.Stream;

/**
 * Fuzz target: a .pt file of these bytes, and a right archive with these bytes as its pickle.
 *
 * <p>Oracle: it is refused as INVALID_ARGUMENT, or every tensor has the size that its shape takes
 * and, in the second kind, bytes of a single storage only; values are of the promised types. Either
 * way nothing stays mapped.
 */
public final class TorchFileFuzz {
  private static final ScratchFile FILE = new ScratchFile("fuzzed.pt");
  private static final byte[] SMALL = filled(16, 0x11);
  private static final byte[] LARGE = filled(96, 0x22);

  private static final BufferPoolMXBean MAPPED =
      ManagementFactory.getPlatformMXBeans(BufferPoolMXBean.class).stream()
          .filter(pool -> pool.getName().equals("mapped"))
          .findFirst()
          .orElseThrow();

  private TorchFileFuzz() {}

  private static byte[] filled(int bytes, int value) {
    byte[] filled = new byte[bytes];
    Arrays.fill(filled, (byte) value);
    return filled;
  }

  /** Pickles, and archives with them. */
  public static Stream<byte[]> seeds() {
    byte[] stateDict =
        new PickleWriter()
            .orderedDict()
            .op('(')
            .text("w")
            .tensor("FloatStorage", "1", 24, 2, new long[] {2, 3}, new long[] {3, 1})
            .text("b")
            .vector("HalfStorage", "0", 8)
            .op('u')
            .dict()
            .text("_metadata")
            .orderedDict()
            .endDict()
            .op('b')
            .end();
    byte[] views =
        new PickleWriter()
            .dict()
            .text("t")
            .tensor("BFloat16Storage", "1", 48, 0, new long[] {4, 3}, new long[] {1, 4})
            .text("p")
            .global("torch._utils", "_rebuild_parameter")
            .op('(')
            .vector("LongStorage", "0", 2)
            .op(0x88)
            .orderedDict()
            .op('t')
            .op('R')
            .endDict()
            .end();
    byte[] values =
        new PickleWriter()
            .dict()
            .text("a")
            .raw("](K\1M\2\1G@\11\0\0\0\0\0\0\u0088e")
            .text("t")
            .global("torch", "bfloat16")
            .text("s")
            .global("__builtin__", "set")
            .raw("]q\0\u0085R")
            .number(5)
            .raw("h\0N\u0089\u0087")
            .endDict()
            .end();
    byte[] protocol4 =
        "\u0080\4\u0095\1\0\0\0\0\0\0\0}\u0094(\u008c\1k\u0094\u008c\5torch\u0094\u008c\4Size\u0094\u0093K\2\u0085\u0085Ru."
            .getBytes(StandardCharsets.ISO_8859_1);
    return Stream.of(stateDict, views, values, protocol4)
        .flatMap(pickle -> Stream.of(pickle, ZipWriter.torch(pickle, "0", SMALL, "1", LARGE)));
  }

  public static void fuzzerInitialize() throws Exception {
    SeedFolder.warmUp(TorchFileFuzz::check);
  }

  public static void fuzzerTestOneInput(byte[] input) throws Exception {
    HeapBound.check(input, TorchFileFuzz::check);
  }

  private static void check(byte[] input) throws IOException {
    checkFile(input, false);
    checkFile(ZipWriter.torch(input, "0", SMALL, "1", LARGE), true);
  }

  private static void checkFile(byte[] bytes, boolean knownStorages) throws IOException {
    FILE.write(bytes);
    long mapped = MAPPED.getCount();
    try (TorchFile file = TorchFile.open(FILE.path())) {
      file.tensors().values().forEach(tensor -> checkTensor(tensor, knownStorages));
      file.values().forEach(TorchFileFuzz::checkValue);
    } catch (GuildhallException e) {
      assertEquals(ErrorCode.INVALID_ARGUMENT, e.code());
      assertTrue(e.getMessage().startsWith(FILE.path() + ": "), e.getMessage());
      assertTrue(e.getMessage().length() < 5000, e.getMessage());
    }
    assertEquals(mapped, MAPPED.getCount(), "files that are still mapped");
  }

  private static void checkTensor(StoredTensor tensor, boolean knownStorages) {
    byte[] data = tensor.data().toArray(ValueLayout.JAVA_BYTE);
    long elements = tensor.shape().stream().reduce(1L, Math::multiplyExact);
    assertEquals(elements * tensor.dtype().bytes(), data.length);
    if (knownStorages && data.length > 0) {
      assertTrue(data[0] == SMALL[0] || data[0] == LARGE[0], "bytes of no storage");
      for (byte value : data) {
        assertEquals(data[0], value, "bytes of no storage or of two");
      }
    }
  }

  private static void checkValue(String name, Object value) {
    assertTrue(
        value instanceof Boolean
            || value instanceof Long
            || value instanceof Double
            || value instanceof String,
        () -> name + " is a " + value.getClass());
  }
}
