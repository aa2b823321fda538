package dev.guildhall.repository;

import com.google.gson.Strictness;
import com.google.gson.stream.JsonReader;
import com.google.gson.stream.JsonToken;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.Message;
import com.google.protobuf.util.JsonFormat;
import dev.guildhall.error.ErrorCode;
import dev.guildhall.error.GuildhallException;
import java.io.IOException;
import java.io.StringReader;
import java.nio.charset.StandardCharsets;
import java.util.HashSet;
import java.util.Set;

/**
 * Reads messages from texts that are one JSON object as the standard has it. Protobuf's own parser
 * takes bare names, lets the last of two fields of one name win, and does not look behind the
 * object: an edit gone wrong would serve something else than it says.
 */
public final class StrictJson {
  private StrictJson() {}

  /**
   * Reads a message's JSON form.
   *
   * @throws GuildhallException INVALID_ARGUMENT saying what is wrong and where, a key that the
   *     message does not have included
   */
  public static void merge(String json, Message.Builder message) {
    check(json);
    try {
      JsonFormat.parser().merge(json, message);
    } catch (InvalidProtocolBufferException e) {
      throw new GuildhallException(ErrorCode.INVALID_ARGUMENT, String.valueOf(e.getMessage()), e);
    }
  }

  private static void check(String json) {
    try (JsonReader reader = new JsonReader(new StringReader(json))) {
      reader.setStrictness(Strictness.STRICT);
      skipObject(reader);
      if (reader.peek() != JsonToken.END_DOCUMENT) {
        throw GuildhallException.invalidArgument("something follows the JSON object");
      }
    } catch (IOException | IllegalStateException e) {
      throw GuildhallException.invalidArgument("this is not one right JSON object: " + reason(e));
    }
  }

  private static void skipObject(JsonReader reader) throws IOException {
    Set<String> names = new HashSet<>();
    reader.beginObject();
    while (reader.hasNext()) {
      String name = reader.nextName();
      if (!names.add(name)) {
        throw GuildhallException.invalidArgument("\"%s\" occurs twice".formatted(name));
      }
      skipValue(reader);
    }
    reader.endObject();
  }

  private static void skipValue(JsonReader reader) throws IOException {
    JsonToken token = reader.peek();
    if (token == JsonToken.BEGIN_OBJECT) {
      skipObject(reader);
    } else if (token == JsonToken.BEGIN_ARRAY) {
      reader.beginArray();
      while (reader.hasNext()) {
        skipValue(reader);
      }
      reader.endArray();
    } else if (token == JsonToken.STRING) {
      String text = reader.nextString();
      if (!StandardCharsets.UTF_8.newEncoder().canEncode(text)) {
        throw GuildhallException.invalidArgument("a text holds half of a surrogate pair");
      }
    } else {
      reader.skipValue();
    }
  }

  /** Without the reader's second line, which advises programmers. */
  private static String reason(Exception e) {
    return String.valueOf(e.getMessage()).lines().findFirst().orElse("");
  }
}
