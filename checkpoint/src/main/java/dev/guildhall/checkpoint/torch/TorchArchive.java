package dev.guildhall.checkpoint.torch;

import static dev.guildhall.checkpoint.torch.Refusal.check;
import static dev.guildhall.checkpoint.torch.Refusal.shown;

import dev.guildhall.checkpoint.torch.TensorView.Storage;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;

/**
 * The zip archive that torch.save writes since PyTorch 1.6: the pickle {@code NAME/data.pkl}, the
 * storages {@code NAME/data/KEY}, {@code NAME/version} and, since PyTorch 2.1, {@code
 * NAME/byteorder}.
 */
final class TorchArchive {
  private static final long MAX_PICKLE_BYTES = 64 << 20;
  private static final long MAX_TEXT_BYTES = 64;

  /** The newest that PyTorch 2 reads; it has written 3 since there are such archives. */
  private static final int MAX_VERSION = 10;

  private static final String PICKLE = "/data.pkl";
  private static final byte[] ZIP_START = {'P', 'K', 3, 4};

  /** Two pickles' starts: of the magic number by which torch knew its files before. */
  private static final byte[] LEGACY_START =
      HexFormat.of().parseHex("80028a0a6cfc9c46f9206aa85019");

  private final MemorySegment file;
  private final Map<String, ZipDirectory.Entry> entries;

  /** {@code NAME/}. */
  private final String folder;

  private TorchArchive(MemorySegment file, Map<String, ZipDirectory.Entry> entries, String folder) {
    this.file = file;
    this.entries = entries;
    this.folder = folder;
  }

  /**
   * Reads what an archive has.
   *
   * @throws dev.guildhall.error.GuildhallException INVALID_ARGUMENT if it is none of torch.save, or
   *     of a machine with another byte order
   */
  static TorchArchive read(MemorySegment file) {
    check(
        !startsWith(file, LEGACY_START),
        "the file is in the format of PyTorch before 1.6; save it anew with torch.save(torch.load("
            + "old), new)");
    check(startsWith(file, ZIP_START), "the file is no zip archive as torch.save writes it");
    Map<String, ZipDirectory.Entry> entries = ZipDirectory.read(file);
    List<String> pickles =
        entries.keySet().stream()
            .filter(name -> name.endsWith(PICKLE) && name.indexOf('/') == name.lastIndexOf('/'))
            .toList();
    check(
        pickles.size() == 1,
        "the zip archive has %d entries NAME/data.pkl; torch.save writes one",
        pickles.size());
    String pickle = pickles.getFirst();
    TorchArchive archive =
        new TorchArchive(file, entries, pickle.substring(0, pickle.length() - PICKLE.length() + 1));
    archive.checkKind();
    return archive;
  }

  private static boolean startsWith(MemorySegment file, byte[] start) {
    return file.byteSize() >= start.length
        && file.asSlice(0, start.length).mismatch(MemorySegment.ofArray(start)) == -1;
  }

  private void checkKind() {
    String code = folder + "code/";
    check(
        !entries.containsKey(folder + "constants.pkl")
            && entries.keySet().stream().noneMatch(name -> name.startsWith(code)),
        "the file is a TorchScript archive; save the state_dict() of the module instead");
    String byteOrder = text("byteorder", "little");
    check(
        byteOrder.equals("little"),
        "the byte order is \"%s\"; allowed is \"little\"",
        shown(byteOrder));
    String version = text("version", "3");
    check(
        version.matches("[0-9]{1,4}")
            && Integer.parseInt(version) >= 1
            && Integer.parseInt(version) <= MAX_VERSION,
        "the format's version is \"%s\"; allowed are 1 to %d",
        shown(version),
        MAX_VERSION);
  }

  private String text(String name, String otherwise) {
    ZipDirectory.Entry entry = entries.get(folder + name);
    if (entry == null) {
      return otherwise;
    }
    byte[] bytes = data(name, entry, MAX_TEXT_BYTES).toArray(ValueLayout.JAVA_BYTE);
    return new String(bytes, StandardCharsets.ISO_8859_1).strip();
  }

  /** The pickle. */
  byte[] pickle() {
    ZipDirectory.Entry entry = entries.get(folder + "data.pkl");
    if (entry == null) {
      throw new IllegalStateException("has no data.pkl");
    }
    return data("data.pkl", entry, MAX_PICKLE_BYTES).toArray(ValueLayout.JAVA_BYTE);
  }

  /** The elements of a storage, where they lie in the file. */
  MemorySegment storage(Storage storage) {
    String name = "data/" + storage.key();
    ZipDirectory.Entry entry = entries.get(folder + name);
    if (entry == null) {
      throw Refusal.of("the zip archive has no entry %s for a storage", shown(folder + name));
    }
    MemorySegment data = data(name, entry, Long.MAX_VALUE);
    int elementBytes = storage.dtype().bytes();
    check(
        storage.elements() <= data.byteSize() / elementBytes,
        "%s has %d bytes; data.pkl claims %d elements of %s there",
        shown(name),
        data.byteSize(),
        storage.elements(),
        storage.dtype());
    return data.asSlice(0, storage.elements() * elementBytes);
  }

  private MemorySegment data(String name, ZipDirectory.Entry entry, long maxBytes) {
    check(entry.stored(), "%s is compressed; torch.save stores it as it is", shown(name));
    check(
        entry.bytes() <= maxBytes,
        "%s has %d bytes; allowed are up to %d",
        shown(name),
        entry.bytes(),
        maxBytes);
    return file.asSlice(entry.begin(), entry.bytes());
  }
}
