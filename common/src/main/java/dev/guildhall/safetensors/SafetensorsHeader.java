package dev.guildhall.safetensors;

import com.google.errorprone.annotations.FormatMethod;
import com.google.gson.JsonParseException;
import com.google.gson.Strictness;
import com.google.gson.stream.JsonReader;
import com.google.gson.stream.JsonToken;
import com.google.gson.stream.MalformedJsonException;
import dev.guildhall.error.GuildhallException;
import dev.guildhall.tensor.DType;
import java.io.EOFException;
import java.io.IOException;
import java.io.StringReader;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * The JSON header of a .safetensors file, checked: every tensor lies inside the data, has the size
 * that its shape takes, and together they cover the data without gap or overlap, as the format
 * demands.
 *
 * @param tensors by name
 * @param metadata {@code __metadata__}
 */
record SafetensorsHeader(Map<String, Entry> tensors, Map<String, String> metadata) {
  private static final Map<String, DType> DTYPES = new LinkedHashMap<>();

  static {
    Arrays.stream(DType.values()).forEach(dtype -> DTYPES.put(dtype.safetensorsName(), dtype));
  }

  static final String METADATA = "__metadata__";

  /** Where a tensor lies; {@code begin} and {@code end} count from the end of the header. */
  record Entry(DType dtype, List<Long> shape, long begin, long end) {}

  /**
   * Parses and checks.
   *
   * @param dataBytes bytes behind the header
   * @throws GuildhallException INVALID_ARGUMENT saying what is wrong
   */
  static SafetensorsHeader parse(String json, long dataBytes) {
    // Also keeps out a byte order mark, which the JSON reader would skip.
    check(json.isEmpty() || json.charAt(0) == '{', "the header must begin with '{'");
    Map<String, Entry> tensors = new LinkedHashMap<>();
    Map<String, String> metadata = new LinkedHashMap<>();
    try (JsonReader reader = new JsonReader(new StringReader(json))) {
      reader.setStrictness(Strictness.STRICT);
      reader.beginObject();
      boolean metadataSeen = false;
      while (reader.hasNext()) {
        String name = reader.nextName();
        if (name.equals(METADATA)) {
          check(!metadataSeen, "%s occurs twice", METADATA);
          metadataSeen = true;
          readMetadata(reader, metadata);
        } else {
          check(
              tensors.put(name, readEntry(reader, name)) == null,
              "tensor \"%s\" occurs twice",
              name);
        }
      }
      reader.endObject();
      // The format allows trailing white space; the strict reader refuses anything else here.
      check(reader.peek() == JsonToken.END_DOCUMENT, "something follows the header's object");
    } catch (MalformedJsonException | EOFException | JsonParseException | IllegalStateException e) {
      throw wrong("the header is not right JSON: %s", e);
    } catch (IOException e) {
      throw wrong("the header cannot be read: %s", e);
    }
    SafetensorsHeader header = new SafetensorsHeader(tensors, metadata);
    header.checkLayout(dataBytes);
    return header;
  }

  private static void readMetadata(JsonReader reader, Map<String, String> metadata)
      throws IOException {
    reader.beginObject();
    while (reader.hasNext()) {
      String key = reader.nextName();
      check(reader.peek() == JsonToken.STRING, "%s: \"%s\" is not a string", METADATA, key);
      metadata.put(key, reader.nextString());
    }
    reader.endObject();
  }

  private static Entry readEntry(JsonReader reader, String name) throws IOException {
    String dtype = null;
    List<Long> shape = null;
    List<Long> offsets = null;
    Set<String> seen = new HashSet<>();
    reader.beginObject();
    while (reader.hasNext()) {
      String field = reader.nextName();
      check(seen.add(field), "tensor \"%s\" has %s twice", name, field);
      switch (field) {
        case "dtype" -> dtype = reader.nextString();
        case "shape" -> shape = readNumbers(reader, name, field);
        case "data_offsets" -> offsets = readNumbers(reader, name, field);
        default -> throw wrong("tensor \"%s\" has an unknown field \"%s\"", name, field);
      }
    }
    reader.endObject();
    if (dtype == null || shape == null || offsets == null || offsets.size() != 2) {
      throw wrong("tensor \"%s\" needs dtype, shape and two data_offsets", name);
    }
    return new Entry(dtype(dtype, name), shape, offsets.getFirst(), offsets.getLast());
  }

  private static List<Long> readNumbers(JsonReader reader, String name, String field)
      throws IOException {
    List<Long> numbers = new ArrayList<>();
    reader.beginArray();
    while (reader.hasNext()) {
      check(reader.peek() == JsonToken.NUMBER, "tensor \"%s\": %s holds no number", name, field);
      String text = reader.nextString();
      numbers.add(wholeNumber(text, name, field));
    }
    reader.endArray();
    return numbers;
  }

  private static long wholeNumber(String text, String name, String field) {
    try {
      // A sign is no digit, and an exponent or a point is none that parseLong takes.
      if (text.charAt(0) >= '0' && text.charAt(0) <= '9') {
        return Long.parseLong(text);
      }
    } catch (NumberFormatException e) {
      // Too large, or not whole.
    }
    throw wrong(
        "tensor \"%s\": %s holds %s; allowed are whole numbers from 0 to %d",
        name, field, text, Long.MAX_VALUE);
  }

  private static DType dtype(String text, String name) {
    DType dtype = DTYPES.get(text);
    if (dtype == null) {
      throw wrong(
          "tensor \"%s\": dtype is \"%s\"; allowed are %s",
          name, text, String.join(", ", DTYPES.keySet()));
    }
    return dtype;
  }

  private void checkLayout(long dataBytes) {
    List<Map.Entry<String, Entry>> inOrder = new ArrayList<>(tensors.entrySet());
    inOrder.sort(
        Comparator.comparingLong((Map.Entry<String, Entry> tensor) -> tensor.getValue().begin())
            .thenComparingLong(tensor -> tensor.getValue().end()));
    long covered = 0;
    for (Map.Entry<String, Entry> tensor : inOrder) {
      Entry entry = tensor.getValue();
      check(
          entry.begin() <= entry.end() && entry.end() <= dataBytes,
          "tensor \"%s\": data_offsets are [%d, %d]; the data has %d bytes",
          tensor.getKey(),
          entry.begin(),
          entry.end(),
          dataBytes);
      check(
          entry.begin() == covered,
          "tensor \"%s\" begins at %d where %d is due: tensors must neither overlap nor leave gaps",
          tensor.getKey(),
          entry.begin(),
          covered);
      checkSize(tensor.getKey(), entry);
      covered = entry.end();
    }
    check(covered == dataBytes, "the tensors take %d bytes; the data has %d", covered, dataBytes);
  }

  private static void checkSize(String name, Entry entry) {
    long bytes;
    try {
      bytes = entry.dtype().bytes();
      for (long dimension : entry.shape()) {
        bytes = Math.multiplyExact(bytes, dimension);
      }
    } catch (ArithmeticException e) {
      throw wrong("tensor \"%s\": shape %s is too large", name, entry.shape());
    }
    check(
        bytes == entry.end() - entry.begin(),
        "tensor \"%s\": shape %s of %s takes %d bytes; its data_offsets span %d",
        name,
        entry.shape(),
        entry.dtype(),
        bytes,
        entry.end() - entry.begin());
  }

  @FormatMethod
  private static void check(boolean right, String message, Object... arguments) {
    if (!right) {
      throw wrong(message, arguments);
    }
  }

  @FormatMethod
  private static GuildhallException wrong(String message, Object... arguments) {
    return GuildhallException.invalidArgument(message.formatted(arguments));
  }
}
