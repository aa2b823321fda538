package dev.guildhall.router.api.http;

import static dev.guildhall.error.GuildhallException.invalidArgument;

import com.google.gson.stream.JsonReader;
import com.google.gson.stream.JsonToken;
import java.io.IOException;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;

/** The fields of a JSON object as they are read: a bounded number, none of them twice. */
final class JsonFields {
  private static final int MAX_FIELDS = 64;

  private JsonFields() {}

  /** Reads one field, whose name is read already. */
  interface Field {
    void read(String name) throws IOException;
  }

  static void read(JsonReader reader, Field field) throws IOException {
    Set<String> seen = new HashSet<>();
    reader.beginObject();
    while (reader.hasNext()) {
      String name = reader.nextName();
      if (seen.size() >= MAX_FIELDS) {
        throw invalidArgument("an object has more than %d fields".formatted(MAX_FIELDS));
      }
      if (!seen.add(name)) {
        throw invalidArgument("\"%s\" occurs twice".formatted(name));
      }
      field.read(name);
    }
    reader.endObject();
  }

  /**
   * Reads parameters: Boolean, Long, Double or String each. Of an object or an array, which is no
   * right value here, its token is kept, so that it is missed by nobody who looks.
   */
  static Map<String, Object> parameters(JsonReader reader) throws IOException {
    Map<String, Object> parameters = new HashMap<>();
    read(
        reader,
        name -> {
          JsonToken token = reader.peek();
          switch (token) {
            case BOOLEAN -> parameters.put(name, reader.nextBoolean());
            case NUMBER -> parameters.put(name, number(reader.nextString()));
            case STRING -> parameters.put(name, reader.nextString());
            case NULL -> reader.nextNull();
            default -> {
              parameters.put(name, token.toString());
              reader.skipValue();
            }
          }
        });
    return parameters;
  }

  private static Object number(String text) {
    if (text.chars().allMatch(c -> c == '-' || Character.isDigit(c))) {
      return text.startsWith("-") ? Long.parseLong(text) : Long.parseUnsignedLong(text);
    }
    return Double.parseDouble(text);
  }
}
